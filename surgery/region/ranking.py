"""The cosine of every candidate row with a direction, sorted once: every top_k is a slice of it."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.files.whole_files import written_whole
from surgery.model.fingerprints import fingerprint
from surgery.model.offload import Weights
from surgery.region.choosable_rows import require_top_k
from surgery.region.region import Region
from surgery.rows.locator import by_layer, locate
from surgery.rows.rows import Homes, homes_from_json, homes_to_json

# Rows are converted to float32 in pieces of at most this many bytes, which a core's cache holds.
CACHE_BYTES = 4 * 2**20

FORMAT = "surgery.ranking/1"


@dataclass(frozen=True, eq=False)
class RowRanking:
    """All candidate rows, lowest cosine first; ONE order over all layers, as in Equation 2.

    Attributes:
        layer: layer of each row, int64 [n].
        row: its index among the layer's candidates, int64 [n].
        cosine: its cosine with the direction, float32 [n], ascending. A row of zeros counts as cosine 0.
        homes: {layer: where its rows live}; a layer's rows are numbered through its homes.
        component, model_fingerprint: what was ranked.
    """

    layer: torch.Tensor
    row: torch.Tensor
    cosine: torch.Tensor
    homes: Mapping[int, Homes]
    component: str
    model_fingerprint: str

    def __len__(self) -> int:
        return self.cosine.numel()

    def within(self, layers: Collection[int]) -> "RowRanking":
        """The same order, of the given layers alone.

        Raises:
            InputError: for a layer that was not ranked.
        """
        if missing := sorted(set(layers) - set(self.homes)):
            raise InputError(f"region.layers: layer {missing[0]} is not among {_told(self.homes)}")
        if not layers:
            raise InputError("region.layers is empty, so there is no row to choose from")
        keep = torch.isin(self.layer, torch.tensor(sorted(layers)))
        homes = {layer: home for layer, home in self.homes.items() if layer in layers}
        return replace(self, layer=self.layer[keep], row=self.row[keep], cosine=self.cosine[keep], homes=homes)

    def lowest(self, top_k: int, per_layer: bool = False) -> Region:
        """The `top_k` rows most opposed to the direction (Equation 2).

        Args:
            top_k: 1..n rows in all.
            per_layer: give every layer an equal part of `top_k` (the first layers one more where it does not
                divide) in place of one global order.
        """
        return self._region(torch.arange(len(self)), top_k, per_layer, "lowest cosine")

    def highest(self, top_k: int, per_layer: bool = False) -> Region:
        """The `top_k` rows most aligned with the direction (Table 9, "max cosine")."""
        return self._region(torch.arange(len(self)).flip(0), top_k, per_layer, "highest cosine")

    def random(self, top_k: int, seed: int = 0, per_layer: bool = False) -> Region:
        """`top_k` rows drawn without regard to the cosine (Table 9, "random region")."""
        # Drawn among the rows in the order of the model, so that a seed means the same rows for every direction.
        by_place = torch.argsort(self.layer * (int(self.row.max()) + 1) + self.row)
        order = by_place[torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))]
        return self._region(order, top_k, per_layer, f"random, seed {seed}")

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all; 12 bytes a row."""
        description = {
            "component": self.component,
            "model_fingerprint": self.model_fingerprint,
            "homes": homes_to_json(self.homes),
        }
        tensors = {"layer": self.layer.to(torch.int32), "row": self.row.to(torch.int32), "cosine": self.cosine}
        # One word of metadata: safetensors writes several in an order of chance, and equal rankings are equal files.
        metadata = {FORMAT: json.dumps(description)}
        with written_whole(path) as temporary:
            save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "RowRanking":
        """Reads what `save` wrote; the model is not needed.

        Raises:
            InputError: when the file is missing, can't be read, or is no ranking.
        """
        tensors, metadata = read_tensors(path, f"ranking '{path}'")
        if FORMAT not in metadata:
            raise InputError(f"'{path}' is no ranking; it holds {', '.join(tensors) or 'nothing'}")
        try:
            said = json.loads(metadata[FORMAT])
            homes = homes_from_json(said["homes"])
            order = (tensors["layer"].long(), tensors["row"].long(), tensors["cosine"])
            return cls(*order, homes, said["component"], said["model_fingerprint"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"ranking '{path}' is damaged ({error}); rank the rows again") from None

    def _region(self, order: torch.Tensor, top_k: int, per_layer: bool, how: str) -> Region:
        require_top_k(top_k, len(self), self.component)
        chosen = self._equal_parts(order, top_k) if per_layer else order[:top_k]
        layers = self.layer[chosen]
        rows = {int(layer): self.row[chosen][layers == layer].sort().values for layer in layers.unique(sorted=True)}
        return Region(
            rows=rows,
            homes={layer: self.homes[layer] for layer in rows},
            component=self.component,
            how=f"{len(chosen)} of {len(self)} rows by {how}" + (", equally from each layer" if per_layer else ""),
            model_fingerprint=self.model_fingerprint,
        )

    def _equal_parts(self, order: torch.Tensor, top_k: int) -> torch.Tensor:
        part, left = divmod(top_k, len(self.homes))
        parts = []
        for position, (layer, homes) in enumerate(sorted(self.homes.items())):
            count, there = part + (position < left), sum(home.total for home in homes)
            if count > there:
                raise InputError(f"top_k={top_k} takes {count} rows of layer {layer}, which has {there}")
            parts.append(order[self.layer[order] == layer][:count])
        return torch.cat(parts)


def _told(layers: Collection[int]) -> str:
    """Layers for a person: `1 to 4`, or all of them where some lie between that have no such rows."""
    first, last = min(layers), max(layers)
    return f"{first} to {last}" if len(layers) == last - first + 1 else ", ".join(map(str, sorted(layers)))


def _rows_in_cache(width: int) -> int:
    """How many float32 rows of a width are worked on at once."""
    return max(1, CACHE_BYTES // (4 * width))


def _cosines(vectors: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """Cosines [n] of vectors [n, d] with a vector of norm 1, float32 arithmetic in pieces."""
    count = _rows_in_cache(vectors.shape[1])
    buffer = torch.empty((min(count, len(vectors)), vectors.shape[1]), device=vectors.device)
    parts = []
    for piece in vectors.split(count):
        values = buffer[: len(piece)].copy_(piece)
        norms = torch.linalg.vector_norm(values, dim=1)
        # A NaN in a row makes its norm NaN: it has to stay visible to the caller.
        parts.append(torch.where(norms == 0, 0.0, values @ unit / norms))
    return torch.cat(parts)


def _unit(direction: torch.Tensor, component: str, width: int) -> torch.Tensor:
    """The direction at norm 1, where rows of that width can have a cosine with it."""
    direction = direction.detach().float()
    if direction.shape != (width,):
        raise InputError(f"the direction has the shape {list(direction.shape)}, but {component} rows are {width} wide")
    norm = direction.norm()
    if not norm.isfinite() or norm == 0:
        raise InputError("the direction is zero or not finite, so no row has a cosine with it")
    unit: torch.Tensor = direction / norm
    return unit


@torch.no_grad()
def rank_rows(
    model: PreTrainedModel,
    direction: torch.Tensor,
    component: str = "gate_proj",
    layers: Collection[int] | None = None,
) -> RowRanking:
    """Ranks the candidate rows of all layers by their cosine with a direction.

    Args:
        model: the model; its weights are read where they lie.
        direction: [d], of any norm above 0.
        component: which matrix; `gate_proj` is the paper's, Table 11 compares the others.
        layers: only these layers; None for all.

    Raises:
        InputError: when the direction has another width than the model, is zero or not finite; when the model has
            no such component; when rows hold NaN.
    """
    homes = locate(model, component)
    weights = Weights(model)
    unit = _unit(direction, component, homes[0].width)
    cosine = []
    for home in homes:
        view = home.view(weights[home.parameter])
        cosine += [_cosines(vectors, unit.to(view.device)).cpu() for vectors in view]
    flat = torch.cat(cosine)
    if flat.isnan().any():
        raise InputError(f"{int(flat.isnan().sum())} {component} rows of the model hold NaN")
    values, order = flat.sort(stable=True)
    layer = torch.cat([torch.full((home.total,), home.layer) for home in homes])
    row = torch.cat([torch.arange(sum(home.total for home in found)) for found in by_layer(homes).values()])
    ranking = RowRanking(layer[order], row[order], values, by_layer(homes), component, fingerprint(model))
    return ranking if layers is None else ranking.within(layers)
