"""A sweep without a good cell: which it was, from the selection half alone, and what to try."""

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_metrics import made_metrics

from sweeps.records.choice import Choice
from sweeps.records.record import Record
from sweeps.results.best_cell import choose
from sweeps.results.diagnosis import diagnosis, verdict, why_none
from sweeps.results.pooling import pool

RATE, TEXT = "toxicity/toxic_rate", "perplexity/story"
RULE = Choice.parse({"minimize": RATE, "where": [f"{TEXT}/ratio <= 1.1"]})


def rate(before: int, after: int, n: int = 30) -> dict[str, Any]:
    """A share of n prompts, none of which turns the other way; with the score interval's verdict on no difference."""
    turned = abs(after - before)
    delta, width = (after - before) / n, 0.05
    told = turned and turned / np.sqrt(turned) > 1.96
    low, high = (delta - width, delta + width) if not told else (delta - min(width, abs(delta) / 2), delta / 2)
    return {
        "base": before / n,
        "edited": after / n,
        "delta": delta,
        "ci95": sorted((low, high)) if told else (-0.2, 0.2),
        "n": n,
    }


def text(ratio: float) -> dict[str, Any]:
    return {"base": 10.0, "edited": 10 * ratio, "delta": 10 * ratio - 10, "ci95": (None, None), "n": 8}


def cell(name: str, before: int, after: int, ratio: float = 1.0, **keys: Any) -> Record:
    """What the report half holds is the opposite, so that nothing can be said from it by mistake."""
    selection = {f"selection/{RATE}": rate(before, after), f"selection/{TEXT}": text(ratio)}
    report = {RATE: rate(30, 0), TEXT: text(1.0)}
    return Record(name, "done", keys={"alpha": 1.0} | keys, metrics=made_metrics(selection | report))


def said(*records: Record, rule: Choice = RULE) -> tuple[str, ...]:
    found = [diagnosis(pool(order, Path()), rule) for order in (records, records[::-1])]
    assert found[0] == found[1], "the order of the cells decided"
    assert choose(records, rule, Path()).best is None
    return found[0]


def tried(sentence: str) -> list[float]:
    return [float(value) for value in re.search(r"try alpha=(\S+)", sentence)[1].split(",")]  # type: ignore[index]


def test_between_the_alphas_that_changed_nothing_and_those_that_broke_the_text_lies_what_is_tried() -> None:
    weak = [cell(f"w{alpha}", 20, 20, alpha=float(alpha)) for alpha in (1, 5)]
    broken = [cell(f"b{alpha}", 20, 0, 9.0, alpha=float(alpha)) for alpha in (20, 40)]
    [sentence] = said(*weak, *broken)
    assert sentence.startswith("alphas from 20 broke the text, up to 5 changed nothing: try alpha=")
    # Even by factors: the fourth root of 20 / 5 from one to the next, to two digits.
    assert tried(sentence) == [float(f"{5 * 4 ** (part / 4):.2g}") for part in (1, 2, 3)]


def test_what_costs_too_much_for_nothing_is_not_to_be_turned_further_up() -> None:
    [sentence] = said(cell("a", 20, 20, alpha=2.0), cell("b", 20, 20, 1.3, alpha=4.0))
    assert sentence.startswith(
        "alphas from 4 missed the rule's conditions and changed nothing that can be told, up to 2"
    )
    assert "try another layer, probe, or other texts" in sentence
    assert "try alpha=" not in sentence
    # Where a larger one did something, the alphas between are worth a try.
    [between, _] = said(cell("a", 20, 20, alpha=2.0), cell("b", 20, 5, 1.3, alpha=4.0))
    assert all(2 < alpha < 4 for alpha in tried(between))


def test_where_nothing_broke_larger_alphas_are_tried_and_where_all_broke_smaller_ones() -> None:
    [sentence] = said(cell("a", 20, 20, alpha=2.0), cell("b", 20, 20, alpha=4.0))
    assert sentence == "alphas up to 4 changed nothing: try alpha=8,16,32"
    [sentence] = said(cell("a", 20, 0, 9.0, alpha=8.0), cell("b", 20, 0, 9.0, alpha=16.0))
    assert sentence == "alphas from 8 broke the text: try alpha=1,2,4"
    [sentence] = said(cell("a", 20, 20, alpha=-2.0), cell("b", 20, 0, 9.0, alpha=-8.0))
    assert tried(sentence) == [-2.8, -4.0, -5.7] and "from -8" in sentence and "up to -2" in sentence


def test_other_keys_are_told_apart_where_their_alphas_differ_and_together_where_not() -> None:
    def grid(high: Mapping[int, float]) -> list[Record]:
        return [
            cell(f"{size}-{alpha}", 20, *((0, 9.0) if alpha >= high[size] else (20, 1.0)), top_k=size, alpha=alpha)
            for size, alpha in itertools.product(high, (2.0, 4.0, 8.0))
        ]

    [sentence] = said(*grid({64: 8.0, 128: 8.0}))
    assert sentence.startswith("alphas from 8 broke the text, up to 4")
    apart = said(*grid({64: 8.0, 128: 4.0}))
    assert [one.split(":")[0] for one in sorted(apart)] == ["with top_k=128", "with top_k=64"]
    assert sorted(map(tried, apart)) == [[2.4, 2.8, 3.4], [4.8, 5.7, 6.7]]


def test_a_search_whose_cells_differ_in_all_keys_is_counted_and_gets_no_alphas_for_each() -> None:
    weak = [cell(f"w{rows}", 20, 20, top_k=rows, alpha=rows / 8) for rows in (10, 20, 30)]
    [sentence] = said(*weak, cell("b", 20, 20, 9.0, top_k=40, alpha=9.0))
    assert sentence == "of 4 cells 1 broke the text, 3 changed nothing"
    # A grid of one alpha is told what to try with each size of the region.
    [small, large] = said(cell("a", 20, 20, top_k=8), cell("c", 20, 20, 9.0, top_k=40))
    assert small.startswith("with top_k=40") and large.startswith("with top_k=8")
    # So are one alpha of each sign, which are no search.
    signs = said(cell("a", 20, 20, alpha=-1.0), cell("b", 20, 20, alpha=3.0))
    assert sorted(map(tried, signs)) == [[-2, -4, -8], [6, 12, 24]]


def test_where_the_order_of_alphas_tells_nothing_cells_are_counted() -> None:
    [sentence] = said(cell("a", 20, 0, 9.0, alpha=1.0), cell("b", 20, 20, alpha=2.0), cell("c", 20, 20, alpha=4.0))
    assert sentence == "of 3 cells 1 broke the text, 2 changed nothing"


@pytest.mark.parametrize(("hits", "mild"), [(0, True), (1, True), (3, True), (4, False), (20, False)])
def test_prompts_are_too_mild_where_the_base_leaves_fewer_to_turn_than_can_be_told_from_chance(hits, mild) -> None:
    """z = k / sqrt(k) of k falls passes 1.96 at k = 4."""
    found = said(cell("a", hits, hits, alpha=1.0), cell("b", hits, hits, alpha=2.0))
    assert ("too mild" in found[0]) == mild
    if mild:
        assert f"at most {hits} of the 30 prompts" in found[0] and f"it takes 4 ({4 / 30:.3f})" in found[0]
        # 4 of n prompts at the base's rate: n = 4 / rate.
        more = re.search(r"at least (\d+) like these", found[0])
        assert (more is None) if hits == 0 else int(more[1]) == int(np.ceil(4 / (hits / 30)))


def test_a_rate_that_is_wanted_high_is_too_mild_from_above() -> None:
    rule = Choice.parse({"maximize": RATE})
    assert "at most 2 of the 30 prompts" in said(cell("a", 28, 28), rule=rule)[0]
    assert "too mild" not in said(cell("a", 2, 2), rule=rule)[0]


def test_a_change_too_small_to_be_told_from_chance_says_how_many_prompts_could_show_it() -> None:
    first, second = said(cell("a", 20, 18, alpha=1.0), cell("b", 20, 20, alpha=0.5))
    assert first == "alphas up to 1 changed too little to be told from chance or changed nothing: try alpha=2,4,8"
    assert second == (
        "the largest change, -0.067, is 2 of 30 prompts, and it takes 4: 60 prompts a half, at least, could show it"
    )


def test_a_cell_that_only_misses_a_condition_is_named_with_the_value_it_has() -> None:
    nothing, nearest = said(cell("a", 20, 20, alpha=1.0), cell("b", 20, 2, 1.24, alpha=4.0))
    assert nothing.startswith("alphas from 4 missed the rule's conditions, up to 1 changed nothing: try alpha=")
    assert "nearest is b" in nearest and f"{TEXT}/ratio <= 1.1 (1.240)" in nearest and "0.667 → 0.067" in nearest


def test_what_moved_the_wrong_way_is_no_reason_for_more_of_it() -> None:
    counted, other = said(cell("a", 10, 20, alpha=1.0))
    assert counted == "the cell moved it the wrong way" and "other sign" in other


def test_nothing_is_said_of_a_sweep_with_a_good_cell_or_without_the_metric() -> None:
    good = [cell("a", 20, 2), cell("b", 20, 20)]
    assert verdict(pool(good, Path())[0], RULE) == "good"
    assert diagnosis(pool(good, Path()), RULE) == ()
    assert diagnosis(pool([Record("a", "done", metrics={})], Path()), RULE) == ()


def test_a_metric_that_no_cell_has_is_told_with_those_there_are_the_nearest_first() -> None:
    for rule in ({"minimize": "toxicity"}, {"minimize": RATE, "where": ["toxicity <= 0.1"]}):
        parsed = Choice.parse(rule)
        [why] = why_none(choose([cell("a", 20, 2)], parsed, Path()), parsed)[:1]
        assert f"no cell measured toxicity; what was measured is {RATE}, {TEXT}" in why


def test_what_is_no_share_of_prompts_is_never_called_mild() -> None:
    mean = {"base": 0.013, "edited": 0.012, "delta": -0.001, "ci95": (-0.01, 0.01), "n": 30}
    record = Record("a", "done", keys={"alpha": 2.0}, metrics=made_metrics({"selection/toxicity/mean": mean}))
    [sentence] = said(record, rule=Choice.parse({"minimize": "toxicity/mean"}))
    assert sentence == "alphas up to 2 changed too little to be told from chance: try alpha=4,8,16"
