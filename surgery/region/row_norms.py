"""How long the rows of a region are."""

import torch
from transformers import PreTrainedModel

from surgery.model.offload import Weights
from surgery.region.region import Region
from surgery.rows.rows import read_rows


def row_norms(model: PreTrainedModel, region: Region) -> dict[int, torch.Tensor]:
    """The Euclidean norms of a region's rows, {layer: float32 [k]} in the order of its rows, on the CPU."""
    weights = Weights(model)
    found: dict[int, list[torch.Tensor]] = {}
    for home, rows in region.parts():
        view = home.view(weights[home.parameter])
        norms = read_rows(view, rows.to(view.device)).float().norm(dim=1)
        found.setdefault(home.layer, []).append(norms.cpu())
    return {layer: torch.cat(parts) for layer, parts in found.items()}
