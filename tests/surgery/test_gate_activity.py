"""How strongly gates react to texts, and rows ranked by that, against a forward pass and a sum by hand."""

import numpy as np
import pytest

from surgery import InputError, rank_rows
from surgery.activity.gate_activity import mean_gate_activity
from surgery.region.ranking import RowRanking

TEXTS = ["w1 w2 w3 w4 w5", "w6 w7", "w8 w9 w10 w11"]


@pytest.mark.parametrize("family", ["model", "phi3"])
def test_activity_is_the_mean_size_over_tokens_and_then_texts(request, tokenizer, by_hand, family: str) -> None:
    model = request.getfixturevalue(family)
    found = mean_gate_activity(model, tokenizer, TEXTS)
    of_texts = [by_hand(model, tokenizer(text)["input_ids"]) for text in TEXTS]
    assert sorted(found) == [1, 2, 3, 4]
    for layer, activity in found.items():
        expected = np.mean([np.abs(layers[layer - 1][0]).mean(0) for layers in of_texts], axis=0)
        np.testing.assert_allclose(activity.numpy(), expected, rtol=1e-4)


def test_no_text_has_no_activity(model, tokenizer) -> None:
    with pytest.raises(InputError, match="no texts"):
        mean_gate_activity(model, tokenizer, [])


def places(ranking: RowRanking) -> list[tuple[int, int]]:
    return list(zip(ranking.layer.tolist(), ranking.row.tolist(), strict=True))


@pytest.mark.parametrize("power", [1, -1])
def test_the_lowest_rows_are_those_of_the_lowest_product(model, tokenizer, direction, power: int) -> None:
    ranked = rank_rows(model, direction)
    activity = mean_gate_activity(model, tokenizer, TEXTS)
    cosine = dict(zip(places(ranked), ranked.cosine.tolist(), strict=True))
    product = {place: cosine[place] * float(activity[place[0]][place[1]]) ** power for place in cosine}
    weights = {layer: one.double() ** power for layer, one in activity.items()}
    weighted = ranked.within([1, 2, 4]).weighted(weights, "cosine x activity")
    wanted = sorted((place for place in product if place[0] != 3), key=product.__getitem__)
    assert places(weighted) == wanted != places(ranked.within([1, 2, 4]))
    assert weighted.cosine.tolist() == [cosine[place] for place in wanted]
    region = weighted.lowest(9)
    assert {(layer, row) for layer, rows in region.rows.items() for row in rows.tolist()} == set(wanted[:9])
    assert region.how == "9 of 72 rows by lowest cosine x activity"
