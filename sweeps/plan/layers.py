"""Layers as they are asked for, and as numbers of a model."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from surgery.errors import InputError
from surgery.region.choosable_rows import layers_without_quarter
from sweeps.cell.settings import Settings

if TYPE_CHECKING:
    from surgery.probe.probe import Probe


def chosen_layers(settings: Settings, depth: int, there: Collection[int]) -> list[int]:
    """The layers that rows may be chosen from: `region.layers` without `region.exclude_quarter`.

    Args:
        settings: of the cell.
        depth: of the model.
        there: the layers that have such rows; without `region.layers` all of these are meant.

    Raises:
        InputError: for a layer above the depth or without such rows, or when none is left.
    """
    region = settings.region
    wanted = region.layers or sorted(there)
    for layer in wanted:
        if layer > depth:
            raise InputError(f"region.layers: layer {layer} is not in this model: its layers are 1 to {depth}")
        if layer not in there:
            raise InputError(f"region.layers: layer {layer} has no {region.component}")
    if region.exclude_quarter:
        kept = set(layers_without_quarter(depth, region.exclude_quarter))
        wanted = [layer for layer in wanted if layer in kept]
        if not wanted:
            raise InputError("region.layers and region.exclude_quarter leave no layer to choose rows from")
    return wanted


def layer_number(layer: float | str, depth: int) -> int:
    """A layer in the paper's terms as a number: of 32 layers (Table 9) first is 1, middle 16, last_but_one 31.

    Args:
        layer: a number; a share of the depth, below 1; or `first`, `middle`, `last_but_one`, `last`.
        depth: of the model.
    """
    if isinstance(layer, float):
        return max(1, round(layer * depth))
    named = {"first": 1, "middle": max(1, depth // 2), "last_but_one": max(1, depth - 1), "last": depth}
    return layer if isinstance(layer, int) else named[layer]


def method_layers(settings: Settings, depth: int) -> tuple[int, ...]:
    """The layers that `method.layers` stands for, lowest first; none for a method that takes no such setting.

    Raises:
        InputError: for a layer above the depth, and for kernels that leave no layer to edit.
    """
    method = settings.method
    kernels = [kernel for kernel in (method.attention, method.mlp) if kernel is not None]
    if kernels and not any(kernel.weights(depth) for kernel in kernels):
        raise InputError(
            f"method.attention and method.mlp edit none of the model's {depth} layers; "
            "take a larger max_weight or min_weight_distance"
        )
    if method.needs.layers is None:
        return ()
    if method.layers:
        if max(method.layers) > depth:
            raise InputError(
                f"method.layers: layer {max(method.layers)} is not in this model: its layers are 1 to {depth}"
            )
        return tuple(sorted(set(method.layers)))
    first, last = (share * depth for share in method.needs.layers)
    return tuple(layer for layer in range(1, depth + 1) if first < layer <= last) or (max(1, round(last)),)


def cell_layer(settings: Settings, depth: int, probe: "Probe | None") -> int:
    """The layer of a cell as a number; raises InputError where the model, or a probe from a file, has another."""
    layer = layer_number(settings.layer, depth)
    if layer > depth:
        raise InputError(f"layer={layer} is not in this model: its layers are 1 to {depth}, or last")
    if probe is not None and probe.layer not in (None, layer):
        raise InputError(f"the probe in '{settings.probe.path}' reads layer {probe.layer}; say layer={probe.layer}")
    return layer
