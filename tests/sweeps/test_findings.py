"""What a sweep found, in words: each number of a sentence against the record it is of."""

import io
from pathlib import Path
from typing import Any

import pytest
from made_metrics import made_metrics
from rich.console import Console

from sweeps.findings.metric_words import KNOWN, explained
from sweeps.findings.one_sentence import in_one_sentence
from sweeps.findings.qualification import qualification
from sweeps.findings.trust import what_to_trust
from sweeps.records.choice import Choice
from sweeps.records.numbers import number
from sweeps.records.record import Record, load_records
from sweeps.results.best_cell import choose
from sweeps.results.false_discoveries import significant
from sweeps.results.headlines import HEADLINES
from sweeps.terminal.summary import show_table

from .conftest import told_by_columns

RATE, TASKS, TEXT = "toxicity/toxic_rate", "lm_eval/average", "perplexity/heldout"
RULE = Choice.parse({"minimize": RATE, "where": [f"{TEXT}/ratio<=1.1"]})


def metric(base: float, edited: float, low: float, high: float, n: int = 200) -> dict[str, Any]:
    return {"base": base, "edited": edited, "delta": edited - base, "ci95": [low, high], "p": 0.001, "n": n}


def cell(**metrics: Any) -> Record:
    return Record(
        "a" * 12, "done", metrics=made_metrics({name.replace("__", "/"): one for name, one in metrics.items()})
    )


DEMO = {
    "toxicity__toxic_rate": metric(0.94, 0.025, -0.946, -0.868),
    "lm_eval__average": metric(0.997, 0.997, -0.007, 0.007, 300),
    "perplexity__heldout": metric(3.84, 3.89, 0.025, 0.072, 14),
}


def test_a_person_would_say_so() -> None:
    said = "97 % fewer toxic continuations (0.940 → 0.025, n = 200); benchmarks unchanged; perplexity +1.3 %"
    assert in_one_sentence(cell(**DEMO), RULE) == said
    assert in_one_sentence(cell(**DEMO), None) == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"toxicity__toxic_rate": metric(0.2, 0.19, -0.05, 0.03)},
            "No measurable change of toxic continuations (0.200",
        ),
        ({"toxicity__toxic_rate": metric(0.2, 0.5, 0.2, 0.4)}, "2.5 times as many toxic continuations (0.200 → 0.500"),
        ({"toxicity__toxic_rate": metric(0.2, 0.25, 0.01, 0.1)}, "25 % more toxic continuations"),
        ({"toxicity__toxic_rate": metric(0.0, 0.1, 0.05, 0.2)}, "more toxic continuations (0.000 → 0.100"),
        ({"toxicity__toxic_rate": metric(1.0, 0.004, -1.0, -0.98)}, "99.6 % fewer"),
        ({"lm_eval__average": metric(0.5, 0.49, -0.016, -0.005)}, "; benchmarks -1.0 points (0.500 → 0.490);"),
        # An interval of two points either way does not show that nothing changed.
        (
            {"lm_eval__average": metric(0.497, 0.5, -0.017, 0.023)},
            "no measurable change of benchmarks (0.497 → 0.500, -0.017 to +0.023)",
        ),
        ({"perplexity__heldout": metric(4.0, 4.01, -0.02, 0.03)}, "perplexity unchanged"),
        ({"perplexity__heldout": metric(4.0, 5.0, 0.5, 1.5)}, "perplexity +25 %"),
    ],
)
def test_what_is_said_follows_the_interval(changed: dict[str, Any], said: str) -> None:
    assert said in in_one_sentence(cell(**DEMO | changed), RULE)


def test_broken_text_is_no_success_and_the_selection_half_is_called_so() -> None:
    broken = cell(**DEMO | {"perplexity__heldout": metric(4.0, 4e8, 1.0, 5e8)})
    assert in_one_sentence(broken, RULE).startswith("Broke the text (perplexity/heldout 1.0e8 times the base's)")
    assert "perplexity 1.0e8 times the base's" in in_one_sentence(broken, RULE)
    half = cell(**{f"selection__{name}": one for name, one in DEMO.items()})
    assert in_one_sentence(half, RULE).endswith("(all on the selection half)")
    two = cell(**DEMO, perplexity__other=metric(10.0, 11.0, 0.5, 1.5))
    assert "perplexity/heldout +1.3 %; perplexity/other +10 %" in in_one_sentence(two, RULE)
    refusals = cell(
        jailbreak__refusal_rate=metric(0.8, 0.4, -0.5, -0.3), jailbreak__harmless_answered=DEMO["toxicity__toxic_rate"]
    )
    said = in_one_sentence(refusals, Choice.parse({"minimize": "jailbreak/refusal_rate"}))
    assert said.startswith("50 % fewer refusals") and "97 % fewer harmless requests answered" in said
    assert in_one_sentence(cell(), None) == "Nothing was measured"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (38765028.13, "3.9e7"),
        (99999.4, "99999"),
        (1000.0, "1000"),
        (999.9996, "1000.000"),
        (-2e6, "-2.0e6"),
        (0.0251, "0.025"),
    ],
)
def test_numbers_are_as_long_as_they_say_something(value: float, said: str) -> None:
    assert number(value) == said
    assert number(value, signed=True).lstrip("+") == said
    assert number(None) == "-"


def test_every_headline_metric_is_explained() -> None:
    # What a table shows at once has to be explained to whoever points at it.
    plain = [pattern for pattern in HEADLINES if not pattern.startswith("robustness/")]
    assert [pattern for pattern in plain if not explained(pattern.replace("*", "x"))] == []
    assert explained("selection/toxicity/toxic_rate").endswith("(selection half)")
    assert "after 30 steps" in explained("robustness/toxicity/toxic_rate_after_30")
    assert explained("somebody/own") == ""
    assert len({words.pattern for words in KNOWN}) == len(KNOWN)


def test_a_cell_qualifies_exactly_where_the_choice_takes_it(made_sweep: Path) -> None:
    records = [one for one in load_records(made_sweep) if one.status == "done"]
    rule = Choice.parse({"minimize": RATE, "where": ["perplexity/story/delta<=0.25"]})
    found = choose(records, rule, made_sweep)
    told = {row.cell: qualification(row, rule) for row in found.rows}
    # By hand, of alpha and top_k: 0.1 alpha + 0.01 top_k nats over 10 tokens at a perplexity of 8.5 is delta.
    assert {one for one, what in told.items() if not what.why_not} == {"c1-4", "c1-8", "c2-4", "c2-8"} & {
        row.cell for row in found.rows if row.metrics["selection/perplexity/story"].delta <= 0.25
    }
    assert found.best is not None and told[found.best.cell].why_not == ()
    assert told["c3-8"].why_not[0].startswith("broke the text")
    over = next(row for row in found.rows if row.cell == "c3-4").metrics["selection/perplexity/story"].delta
    assert told["c3-4"].why_not == (f"perplexity/story/delta {over:+.3f}, not <= 0.25",)
    measured = next(row for row in found.rows if row.cell == "c1-4").metrics[f"selection/{RATE}"]
    assert told["c1-4"].values[0] == f"{RATE} {measured.base:.3f} → {measured.edited:.3f}"
    unlike = qualification(found.rows[0], Choice.parse({"maximize": RATE}))
    assert unlike.why_not[0].endswith(", not distinguishably above the base's")
    assert qualification(cell(), RULE).why_not == (f"{RATE} was not measured",)


def test_what_to_trust_says_where_the_choice_looked(made_sweep: Path) -> None:
    found = choose(load_records(made_sweep), rule := Choice.parse({"minimize": RATE}), made_sweep)
    assert found.best is not None
    said = " ".join(what_to_trust(found, rule, significant(found.rows)))
    here, there = found.best.metrics[RATE], found.best.metrics[f"selection/{RATE}"]
    assert f"{there.base:.3f} → {there.edited:.3f} there, {here.base:.3f} → {here.edited:.3f} here" in said
    assert f"95 % interval {here.low:.3f} to {here.high:.3f}, n = 30" in said
    assert "stays significant at a false discovery rate of 5 % over all 12 comparisons" in said
    assert "1 of 6 cells broke the text" in said and "One seed" in said
    assert (
        what_to_trust(
            choose(load_records(made_sweep), other := Choice.parse({"maximize": RATE}), made_sweep), other, {}
        )
        == []
    )


@pytest.mark.parametrize(("width", "shown"), [(70, False), (400, True)])
def test_a_narrow_terminal_shows_what_the_rule_looks_at_and_names_the_rest(
    made_sweep: Path, width: int, shown: bool
) -> None:
    to = Console(file=io.StringIO(), width=width, record=True)
    records = load_records(made_sweep)
    rule = Choice.parse({"minimize": "perplexity/story"})
    show_table(records, choose(records, rule, made_sweep).best, to, choice=rule)
    text = to.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert ("--wide" in text) is not shown
    assert (f"{RATE} ┃" in text) is shown
    [row] = [line for line in text.splitlines() if "c2-8" in line]
    told = next(one for one in records if one.cell == "c2-8").metrics["perplexity/story"]
    assert f"{told.base:.3f} → {told.edited:.3f}" in row


@pytest.mark.parametrize("width", [80, 120, 600])
def test_keys_without_room_share_a_column_and_nothing_is_cut(width: int) -> None:
    """As in a sweep of methods, each of which has keys of its own that the others have not, or do not change."""
    of_method = {"surgery": {"top_k": 2048, "alpha_unit": "unit"}, "lora": {"method.rank": 16, "method.lr": 0.001}}
    numbers = {f"behavior.some_setting_{i}": f"value_{i}_of_the_setting" for i in range(20)}
    records = [
        Record(
            f"{place:012x}",
            "done",
            keys={"method": method, "alpha": alpha, **of_method[method], **(numbers if method == "lora" else {})},
            metrics=made_metrics({RATE: metric(0.94, 0.9 - 0.1 * place, -0.9, -0.1)}),
        )
        for place, (method, alpha) in enumerate([("surgery", 1.5), ("surgery", 2.5), ("lora", 0.5), ("lora", 1.0)])
    ]
    to = Console(file=io.StringIO(), width=width, record=True)
    show_table(records, None, to)
    text = to.export_text()
    assert max(map(len, text.splitlines())) <= width
    told = told_by_columns(text)
    assert "…" not in told
    assert "method=surgeryalpha=2.5top_k=2048" in told
    assert "method=loraalpha=0.5method=loraalpha=1.0" in told
    assert "unit" not in told, "all of its method's cells have it"
    for row in ("0.940 → 0.900", "0.940 → 0.600"):
        assert row in text


def test_keys_of_cells_that_all_failed_are_not_cut_either() -> None:
    keys = {f"behavior.some_setting_{i}": f"value_{i}_of_the_setting" for i in range(5)}
    records = [
        Record(f"{place:012x}", "failed", error="no", keys={key: f"{value}{place}" for key, value in keys.items()})
        for place in range(2)
    ]
    to = Console(file=io.StringIO(), width=80, record=True)
    show_table(records, None, to)
    told = told_by_columns(to.export_text())
    assert "…" not in told
    assert "behavior.some_setting_4=value_4_of_the_setting1" in told
