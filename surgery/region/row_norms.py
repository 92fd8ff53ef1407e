"""How long the rows of a region are."""

import torch
from transformers import PreTrainedModel

from surgery.model.offload import Weights
from surgery.region.region import Region
from surgery.rows.rows import norms_of, read_rows


def row_norms(model: PreTrainedModel, region: Region) -> dict[int, torch.Tensor]:
    """The Euclidean norms of a region's rows, {layer: float32 [k]} in the order of its rows, on the CPU."""
    weights = Weights(model)
    found: dict[int, list[torch.Tensor]] = {}
    for home, rows in region.parts():
        view = home.view(weights[home.parameter])
        found.setdefault(home.layer, []).append(norms_of(read_rows(view, rows.to(view.device))).cpu())
    return {layer: torch.cat(parts) for layer, parts in found.items()}
