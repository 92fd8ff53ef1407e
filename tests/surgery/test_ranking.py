from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from surgery import InputError, fingerprint, rank_rows
from surgery.region.ranking import RowRanking, layers_without_quarter
from surgery.region.region import ranking

MODULES = {"gate_proj": "mlp", "up_proj": "mlp", "down_proj": "mlp"}
COMPONENTS = ["gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj"]


def naive(model: Any, direction: torch.Tensor, component: str) -> dict[tuple[int, int], float]:
    """{(layer, row): cosine}, one vector at a time."""
    found = {}
    wanted = direction.double().numpy()
    for layer, block in enumerate(model.model.layers, start=1):
        matrix = getattr(getattr(block, MODULES.get(component, "self_attn")), component).weight.double().numpy()
        for row, vector in enumerate(matrix.T if component in ("down_proj", "o_proj") else matrix):
            found[layer, row] = float(vector @ wanted / (np.linalg.norm(vector) * np.linalg.norm(wanted)))
    return found


def rows_of(region: Any) -> set[tuple[int, int]]:
    return {(layer, row) for layer, rows in region.rows.items() for row in rows.tolist()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chunk_bytes", [1, 7 * 64, 2**20])
@pytest.mark.parametrize("component", COMPONENTS)
def test_one_global_order_of_the_cosines_of_all_layers(model, direction, monkeypatch, component, chunk_bytes, dtype):
    monkeypatch.setattr(ranking, "CACHE_BYTES", chunk_bytes)
    model = model.to(dtype)
    expected = naive(model, direction, component)
    ranked = rank_rows(model, 3 * direction, component)
    pairs = list(zip(ranked.layer.tolist(), ranked.row.tolist(), strict=True))
    assert sorted(pairs) == sorted(expected)
    np.testing.assert_allclose(ranked.cosine, [expected[pair] for pair in pairs], atol=1e-6)
    assert (ranked.cosine.diff() >= 0).all()
    assert ranked.model_fingerprint == fingerprint(model)


def test_lowest_and_highest_are_the_ends_of_the_order(model, direction) -> None:
    expected = naive(model, direction, "gate_proj")
    order = sorted(expected, key=expected.__getitem__)
    ranked = rank_rows(model, direction)
    for top_k in (1, 17, 96):
        assert rows_of(ranked.lowest(top_k)) == set(order[:top_k])
        assert rows_of(ranked.highest(top_k)) == set(order[-top_k:])
    counts = {layer: len(rows) for layer, rows in ranked.lowest(17).rows.items()}
    assert len(set(counts.values())) > 1, "a global ranking does not share rows out equally"


def test_the_same_number_from_each_layer(model, direction) -> None:
    expected = naive(model, direction, "gate_proj")
    for choose, sign in (("lowest", 1), ("highest", -1)):
        region = getattr(rank_rows(model, direction), choose)(10, per_layer=True)
        for layer, count in {1: 3, 2: 3, 3: 2, 4: 2}.items():
            own = sorted((pair for pair in expected if pair[0] == layer), key=lambda pair: sign * expected[pair])
            assert {(layer, row) for row in region.rows[layer].tolist()} == set(own[:count])
    random = rank_rows(model, direction).random(8, per_layer=True)
    assert {layer: len(rows) for layer, rows in random.rows.items()} == {1: 2, 2: 2, 3: 2, 4: 2}


def test_a_random_region_hangs_on_its_seed(model, direction) -> None:
    ranked = rank_rows(model, direction)
    first, again, other = (rows_of(ranked.random(20, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 20
    assert first not in (rows_of(ranked.lowest(20)), rows_of(ranked.highest(20)))


def test_some_layers_alone(model, direction) -> None:
    expected = {pair: cosine for pair, cosine in naive(model, direction, "gate_proj").items() if pair[0] in (2, 4)}
    order = sorted(expected, key=expected.__getitem__)
    for ranked in (rank_rows(model, direction, layers=[4, 2]), rank_rows(model, direction).within([2, 4])):
        assert len(ranked) == 48
        assert rows_of(ranked.lowest(9)) == set(order[:9])
        with pytest.raises(InputError, match="1 to 48"):
            ranked.lowest(49)
    with pytest.raises(InputError, match="layer 5 is not among 1 to 4"):
        rank_rows(model, direction, layers=[2, 5])
    with pytest.raises(InputError, match="empty"):
        rank_rows(model, direction, layers=[])


@pytest.mark.parametrize(
    ("depth", "quarters"),
    [
        (32, [range(1, 9), range(9, 17), range(17, 25), range(25, 33)]),
        (6, [[1, 2], [3], [4], [5, 6]]),
        (4, [[1], [2], [3], [4]]),
    ],
)
def test_quarters_of_the_depth(depth: int, quarters: list[Any]) -> None:
    for quarter, left_out in enumerate(quarters, start=1):
        kept = layers_without_quarter(depth, quarter)
        assert sorted([*kept, *left_out]) == list(range(1, depth + 1))


def test_a_quarter_without_a_layer_is_an_error() -> None:
    left_out = []
    for quarter in (1, 2, 3, 4):
        try:
            left_out += sorted({1, 2, 3} - set(layers_without_quarter(3, quarter)))
        except InputError as error:
            assert "leaves out no layer" in str(error)
    assert left_out == [1, 2, 3]
    with pytest.raises(InputError, match="1, 2, 3, 4"):
        layers_without_quarter(32, 5)


def test_ties_keep_the_order_of_layers_and_rows(model, direction) -> None:
    for block in model.model.layers:
        block.mlp.gate_proj.weight.copy_(torch.ones(24, 16))
    ranked = rank_rows(model, direction)
    assert ranked.layer.tolist() == [layer for layer in (1, 2, 3, 4) for _ in range(24)]
    assert ranked.row.tolist() == list(range(24)) * 4


def test_a_row_of_zeros_has_cosine_zero(model, direction) -> None:
    model.model.layers[1].mlp.gate_proj.weight[5] = 0
    ranked = rank_rows(model, direction)
    place = ((ranked.layer == 2) & (ranked.row == 5)).nonzero().item()
    assert ranked.cosine[place] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rows_that_are_not_finite_are_refused(model, direction, bad: float) -> None:
    model.model.layers[1].mlp.gate_proj.weight[5, 3] = bad
    with pytest.raises(InputError, match="1 gate_proj rows of the model hold NaN"):
        rank_rows(model, direction)


@pytest.mark.parametrize("bad", [torch.zeros(16), torch.full((16,), float("nan")), torch.ones(8), torch.ones(1, 16)])
def test_directions_without_a_cosine_are_refused(model, bad: torch.Tensor) -> None:
    with pytest.raises(InputError, match="direction") as error:
        rank_rows(model, bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("top_k", [0, -1, 97])
def test_a_number_of_rows_that_is_not_there(model, direction, top_k: int) -> None:
    with pytest.raises(InputError, match=r"96 gate_proj rows to choose from, so 1 to 96"):
        rank_rows(model, direction).lowest(top_k)


def test_a_saved_ranking_chooses_the_same_rows_without_the_model(model, direction, tmp_path) -> None:
    ranked = rank_rows(model, direction, "down_proj")
    ranked.save(tmp_path / "a")
    ranked.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = RowRanking.load(tmp_path / "a")
    assert torch.equal(loaded.cosine, ranked.cosine)
    for choose in ("lowest", "highest", "random"):
        chosen, expected = getattr(loaded, choose)(17), getattr(ranked, choose)(17)
        assert chosen.fingerprint == expected.fingerprint
        assert chosen.how == expected.how
    assert loaded.within([2]).lowest(5).fingerprint == ranked.within([2]).lowest(5).fingerprint


def test_a_file_that_is_no_ranking_is_refused(model, direction, tmp_path) -> None:
    with pytest.raises(InputError, match="can't be read"):
        RowRanking.load(tmp_path / "nothing")
    save_file({"layer": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(InputError, match="is no ranking; it holds layer"):
        RowRanking.load(tmp_path / "other")
