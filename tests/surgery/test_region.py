import pytest
import torch

from surgery import InputError, Region
from surgery.rows.rows import Rows

HOMES = {layer: (Rows(layer, f"layers.{layer}.weight", (8, 4), 0, 0, 8),) for layer in (1, 2)}


def region(rows: dict[int, list[int]], how: str = "by hand", model: str = "m") -> Region:
    return Region({layer: torch.tensor(found) for layer, found in rows.items()}, HOMES, "gate_proj", how, model)


def test_its_fingerprint_is_of_the_model_and_the_rows_however_chosen() -> None:
    one = region({2: [0, 7], 1: [3]})
    assert len(one) == 3
    assert one.layers == (1, 2)
    assert one.fingerprint == region({1: [3], 2: [0, 7]}, how="otherwise").fingerprint
    others = [region({1: [3], 2: [0, 6]}), region({1: [0, 7], 2: [3]}), region({2: [0, 7], 1: [3]}, model="n")]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4


@pytest.mark.parametrize("rows", [{}, {1: []}, {1: [8]}, {2: [-1, 3]}])
def test_rows_that_are_not_there_are_refused(rows: dict[int, list[int]]) -> None:
    with pytest.raises(InputError):
        region(rows)
