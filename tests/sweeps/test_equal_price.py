"""Methods at an equal price, on records made by hand: what is picked, what is told, and what can't be told."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from scipy.stats import binomtest

from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError
from sweeps.commands.methods_command import show_methods
from sweeps.equal_price.comparison import compared_methods
from sweeps.equal_price.frontier_chart import frontier_chart
from sweeps.equal_price.methods_table import as_csv, as_latex, explanation, lines, overview
from sweeps.equal_price.told import AtPrice, MethodComparison
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric
from sweeps.records.record import CONFIG, SAMPLES, Record, load_records
from sweeps.records.samples import write_samples
from sweeps.report.contents import contents
from sweeps.report.page import page

from .conftest import told_by_columns

RATE, STORY, KL = "toxicity/toxic_rate", "perplexity/story", "divergence/kl"
N = 80
IDS = {half: tuple(f"{half[0]}{i}" for i in range(N)) for half in ("report", "selection")}
RULE = Choice.parse({"minimize": RATE})

# (method, alpha): share of toxic prompts that turn harmless on the two halves (selection, report), perplexity above
# the base's and divergence, on both halves alike. The base is toxic on 60 of 80 prompts of each half.
CELLS = {
    ("surgery", 1.0): (10, 12, 0.015, 0.04),
    ("surgery", 2.0): (30, 25, 0.04, 0.09),
    ("surgery", 3.0): (45, 44, 0.09, 0.3),
    # Better on the report half than what is picked at +5 %, which nobody may look at.
    ("surgery", 2.5): (20, 55, 0.03, 0.09),
    ("directional_ablation", 1.0): (28, 2, 0.045, 0.15),
    ("lora", 1.0): (2, 1, 0.01, 0.3),
}


def made(folder: Path, cells: Mapping[tuple[str, float], tuple[float, ...]] = CELLS, **changed: Any) -> list[Record]:
    """A sweep with a cell for each entry."""
    options = {"half_only": None, "kl": True, "model": "tiny", "status": "done"} | changed
    for place, ((method, alpha), (selection, report, dearer, divergence)) in enumerate(cells.items()):
        base, edited = [], []
        for half, better in (("selection", selection), ("report", report)):
            if options["half_only"] not in (None, half):
                continue
            ids, tokens = IDS[half], np.full(N, 10.0)
            toxic = np.repeat([1.0, 0.0], [60, N - 60])
            fewer = toxic.copy()
            fewer[: int(better)] = 0
            windows: dict[str, Any] = {"statistic": "perplexity", "weights": tokens}
            base += [Measurement(RATE, half, ids, toxic), Measurement(STORY, half, ids, tokens * 2, **windows)]
            edited += [
                Measurement(RATE, half, ids, fewer),
                Measurement(STORY, half, ids, tokens * (2 + np.log1p(dearer)), **windows),
            ]
            if options["kl"]:
                base.append(Measurement(KL, half, ids, np.zeros(N)))
                edited.append(Measurement(KL, half, ids, np.full(N, divergence)))
        cell = folder / f"{place:012x}"
        cell.mkdir(parents=True)
        write_samples(cell / SAMPLES, base, edited)
        (cell / CONFIG).write_text(yaml.safe_dump({"evaluation": {"choose": {"minimize": RATE}}}))
        keys = {"model": options["model"], "behavior": "b", "method": method, "alpha": alpha, "seed": 0}
        metrics = [
            Metric(b.name, b.half, b.summary, e.summary, e.summary - b.summary, n=N)
            for b, e in zip(base, edited, strict=True)
        ]
        known = {metric.key: metric for metric in metrics}
        Record(cell.name, options["status"], protocol="p", keys=keys, metrics=known).save(cell)
    return load_records(folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> MethodComparison:
    folder = tmp_path_factory.mktemp("runs") / "x"
    return compared_methods(made(folder), folder, RULE)


def at(found: MethodComparison, price: str, level: float, method: str) -> AtPrice:
    [row] = [row for row in found.rows if (row.price.name, row.level, row.method) == (price, level, method)]
    return row


def test_a_setting_is_picked_on_the_selection_half_and_told_on_the_other(found: MethodComparison) -> None:
    for price, column in (("perplexity", 2), ("kl", 3)):
        for level in next(one.levels for one in found.prices if one.name == price):
            for method in ("surgery", "directional_ablation", "lora"):
                within = {k: v for k, v in CELLS.items() if k[0] == method and v[column] <= level}
                told = at(found, price, level, method).told
                if not within:
                    assert told is None
                    continue
                assert told is not None
                _, report, *paid = max(within.values())
                assert told.value == pytest.approx((60 - report) / N)
                assert told.n == N
                assert [told.paid["perplexity"], told.paid["kl"]] == pytest.approx(paid)
    # At +5 % the best of the report half was not the best of the selection half.
    assert at(found, "perplexity", 0.05, "surgery").told.keys == {"alpha": 2.0}


def test_bands_are_a_bootstrap_over_prompts(found: MethodComparison) -> None:
    told = at(found, "perplexity", 0.05, "surgery").told
    scores = np.repeat([1.0, 0.0], [60 - 25, N - 60 + 25])
    generator = np.random.default_rng(3)
    means = generator.choice(scores, (20_000, N)).mean(1)
    # Half a prompt more of each kind than were seen, as in all intervals here.
    rises, falls = generator.poisson(0.5, (2, 20_000))
    expected = np.percentile(
        means + np.maximum(np.abs(scores - scores.mean()).max(), 1) / N * (rises - falls), [2.5, 97.5]
    )
    assert (told.low, told.high) == pytest.approx(tuple(expected), abs=0.013)
    assert not told.like_base
    weak = at(found, "perplexity", 0.02, "lora").told
    assert weak.low < 60 / N < weak.high
    assert weak.like_base


def test_differences_are_paired_on_prompts_and_corrected_by_holm(found: MethodComparison) -> None:
    # Each pair of cells once: surgery's picks are 1, 2, 3 at the perplexities and 1, 2, 2 at the divergences.
    reports = {alpha: CELLS["surgery", alpha][1] for alpha in (1.0, 2.0, 3.0)}
    of_ablation, of_lora = 2, 1
    # Whoever turns more of them turns the others' too, so all discordant prompts are on one side.
    discordant = {
        ("lora", 1.0): reports[1.0] - of_lora,
        ("lora", 2.0): reports[2.0] - of_lora,
        ("lora", 3.0): reports[3.0] - of_lora,
        ("directional_ablation", 2.0): reports[2.0] - of_ablation,
        ("directional_ablation", 3.0): reports[3.0] - of_ablation,
    }
    p = {pair: binomtest(0, many).pvalue for pair, many in discordant.items()}
    assert found.comparisons == len(p)
    smallest, adjusted = 0.0, {}
    for rank, pair in enumerate(sorted(p, key=p.get)):
        smallest = max(smallest, (len(p) - rank) * p[pair])
        adjusted[pair] = min(1.0, smallest)
    for level, alpha in ((0.05, 2.0), (0.1, 3.0)):
        for method, other in (("lora", of_lora), ("directional_ablation", of_ablation)):
            against = at(found, "perplexity", level, method).against
            assert against.difference == pytest.approx(-(reports[alpha] - other) / N)
            assert against.low < against.difference < against.high < 0
            assert against.p == pytest.approx(p[method, alpha])
            assert against.adjusted == pytest.approx(adjusted[method, alpha])
            assert against.word == "better"
    assert at(found, "perplexity", 0.05, "surgery").against is None


def test_what_several_comparisons_may_show_by_chance_can_not_be_told(tmp_path: Path) -> None:
    cells = {("surgery", 1.0): (9, 9, 0.01, 0.01), ("a", 1.0): (3, 3, 0.01, 0.01), ("b", 1.0): (2, 3, 0.01, 0.01)}
    found = compared_methods(made(tmp_path, cells), tmp_path, RULE)
    against = at(found, "perplexity", 0.02, "a").against
    assert against.p == pytest.approx(2 / 2**6)
    assert against.high < 0  # by itself it is a difference
    assert against.adjusted == pytest.approx(2 * 2 / 2**6)
    assert against.word == "can't tell"
    backwards = compared_methods(load_records(tmp_path), tmp_path, RULE, against="a")
    assert at(backwards, "perplexity", 0.02, "surgery").against.difference == pytest.approx(6 / N)


def test_cells_that_broke_the_text_and_cells_that_did_not_end_are_said(tmp_path: Path) -> None:
    cells = {("surgery", 1.0): (10, 10, 0.6, 0.01), ("surgery", 2.0): (5, 5, 0.04, 0.01), ("lora", 1.0): (1, 1, 0, 0)}
    records = made(tmp_path, cells)
    failed = Record("ffffffffffff", "failed", error="why", keys={"method": "lora"})
    found = compared_methods([*records, failed], tmp_path, RULE)
    assert at(found, "kl", 0.05, "surgery").told.keys == {"alpha": 2.0}
    assert any("cells never picked, since they broke the text: 1" in note for note in found.notes)
    assert any("cells not compared: failed 1" in note for note in found.notes)
    assert any("not have the same number of cells: surgery 2, lora 1" in note for note in found.notes)


def test_cells_that_were_given_up_are_counted_and_said(tmp_path: Path) -> None:
    records = made(tmp_path, {("surgery", 1.0): (10, 10, 0.01, 0.01), ("lora", 1.0): (1, 1, 0, 0)})
    for cell, method in (("aaaaaaaaaaaa", "surgery"), ("bbbbbbbbbbbb", "caa"), ("cccccccccccc", "caa")):
        (tmp_path / cell).mkdir()
        (tmp_path / cell / CONFIG).write_text("variant: null")
        keys = {"model": "tiny", "behavior": "b", "seed": 0, "method": method, "alpha": 9.0}
        records.append(Record(cell, "pruned", error="it costs more than any price", keys=keys))
    found = compared_methods(records, tmp_path, RULE)
    assert found.cells == {"surgery": 2, "caa": 2, "lora": 1}
    assert "since they cost more than any price: 2 of caa, 1 of surgery" in " ".join(found.notes)
    assert at(found, "kl", 0.2, "caa").told is None
    assert at(found, "kl", 0.2, "surgery").told.keys == {"alpha": 1.0}
    # What another search gave up for another reason is not said to have been dear.
    dominated = Record("dddddddddddd", "pruned", error="it is dominated", keys={"method": "lora"})
    notes = " ".join(compared_methods([*records, dominated], tmp_path, RULE).notes)
    assert "any price: 2 of caa, 1 of surgery" in notes and "cells not compared: pruned 1" in notes
    # Also where all cells but those of one method were.
    alone = compared_methods([one for one in records if one.keys["method"] != "lora"], tmp_path, RULE, against="caa")
    assert {row.method for row in alone.rows} == {"surgery", "caa"} and alone.comparisons == 0
    assert {row.against for row in alone.rows} == {None}
    with pytest.raises(InputError, match=r"every cell of .* was given up"):
        compared_methods([one for one in records if one.status == "pruned"], tmp_path, RULE)


def test_a_variant_stands_for_itself_beside_its_method(tmp_path: Path) -> None:
    cells = {("surgery", 1.0): (10, 10, 0.01, 0.01), ("surgery", 2.0): (20, 20, 0.01, 0.01)}
    records = made(tmp_path, cells)
    (tmp_path / records[1].cell / CONFIG).write_text("variant: random_probe")
    found = compared_methods(records, tmp_path, RULE)
    assert dict(found.cells) == {"surgery": 1, "random_probe": 1}
    assert at(found, "kl", 0.05, "random_probe").told.value == pytest.approx(40 / N)


@pytest.mark.parametrize(
    ("changed", "against", "part"),
    [
        ({"cells": {("surgery", 1.0): (1, 1, 0, 0)}}, "", "of one method, surgery"),
        ({}, "lore", "no cell of .* is of the method 'lore'; there are directional_ablation, lora, surgery"),
        ({"half_only": "selection"}, "", "on the report half of the prompts, where settings are reported"),
        ({"half_only": "report"}, "", "on the selection half of the prompts, where settings are picked"),
        ({"status": "failed"}, "", "of one method, none"),
    ],
)
def test_what_can_not_be_compared_is_refused_in_a_sentence(
    tmp_path: Path, changed: dict[str, Any], against: str, part: str
) -> None:
    with pytest.raises(InputError, match=part):
        compared_methods(made(tmp_path, **changed), tmp_path, RULE, against)


def test_a_price_has_to_be_there_and_one_model_alone(tmp_path: Path) -> None:
    records = made(tmp_path)
    without = [
        Record(r.cell, r.status, protocol="p", keys=r.keys, metrics={k: m for k, m in r.metrics.items() if RATE in k})
        for r in records
    ]
    with pytest.raises(InputError, match=r"no price .*evaluation\.text=FILE"):
        compared_methods(without, tmp_path, RULE)
    with pytest.raises(InputError, match="--minimize METRIC"):
        compared_methods(records, tmp_path, None)
    with pytest.raises(InputError, match="is what an edit is paid with"):
        compared_methods(records, tmp_path, Choice.parse({"minimize": STORY}))
    other = Record("c", "done", protocol="p", keys={"model": "huge", "method": "lora"}, metrics=records[0].metrics)
    with pytest.raises(InputError, match=r"2 different values of model \(huge, tiny\)"):
        compared_methods([*records, other], tmp_path, RULE)


def test_the_overview_has_a_line_for_each_method_and_a_column_for_each_price(
    found: MethodComparison, tmp_path: Path
) -> None:
    heads, body = overview(found)
    prices = ["perplexity +2 %", "perplexity +5 %", "perplexity +10 %", "kl 0.05 nats", "kl 0.1 nats", "kl 0.2 nats"]
    assert heads == [RATE, "cells", *prices]
    assert [line[:2] for line in body] == [["base", ""], ["surgery", "4"], ["directional_ablation", "1"], ["lora", "1"]]
    by_method = {line[0]: dict(zip(heads, line, strict=True)) for line in body}
    assert set(by_method["base"].values()) == {"base", "", "0.750"}
    assert by_method["surgery"]["perplexity +5 %"] == "0.438"
    assert by_method["directional_ablation"]["perplexity +2 %"] == "no cell"
    # Its own interval holds the base's rate, and surgery is better.
    assert by_method["directional_ablation"]["perplexity +5 %"] == "0.725 ≈ ▽"
    _, turned = overview(compared_methods(made(tmp_path), tmp_path, RULE, against="lora"))
    assert turned[1] == ["lora", "1", "0.738 ≈", "0.738 ≈", "0.738 ≈", *["no cell"] * 3]
    surgery = next(line for line in turned if line[0] == "surgery")
    assert surgery[heads.index("perplexity +5 %")] == "0.438 ▲"


def test_the_table_is_told_in_words_csv_and_latex(found: MethodComparison) -> None:
    heads, body = lines(found)
    assert all(len(line) == len(heads) for line in body)
    by_place = {(line[0], line[1]): line for line in body}
    assert by_place["perplexity +2 %", "directional_ablation"][2:4] == ["no cell", "-"]
    told = by_place["perplexity +5 %", "directional_ablation"]
    assert told[3].startswith("0.725 (")
    assert told[-3].startswith("-0.287 (-0.")
    assert told[-1] == "better"
    assert by_place["kl 0.2 nats", "directional_ablation"][4] == "can't tell"
    assert any("Holm's correction for 5 different" in sentence for sentence in explanation(found))
    rows = {(row["price"], row["at_most"], row["method"]): row for row in csv.DictReader(as_csv(found).splitlines())}
    assert len(rows) == len(found.rows)
    row = rows["perplexity", "0.05", "directional_ablation"]
    assert float(row["value"]) == pytest.approx(58 / N)
    assert float(row["difference"]) == pytest.approx(-23 / N)
    assert rows["perplexity", "0.02", "directional_ablation"]["value"] == ""
    latex = as_latex(found)
    assert r"perplexity +5 \% & directional\_ablation & 0.725 (" in latex
    assert r"$-0.287$ ($-0." in latex
    assert latex.count(r" \\") == len(found.rows) + 1


@pytest.mark.parametrize("width", [80, 100, 300])
def test_in_a_narrow_terminal_nothing_of_the_tables_is_cut(found: MethodComparison, width: int) -> None:
    to = Console(file=io.StringIO(), width=width, record=True)
    show_methods(found, to)
    text = to.export_text()
    assert max(len(line) for line in text.splitlines() if line[:1] in ("│", "┃")) <= width
    told = told_by_columns(text)
    assert "…" not in told
    for line in lines(found)[1]:
        for part in line[:4] + line[-3:]:
            assert "".join(part.split()) in told


def test_a_row_of_markdown_is_one_line_in_any_terminal(found: MethodComparison) -> None:
    to = Console(file=io.StringIO(), width=40, record=True)
    show_methods(found, to, markdown=True)
    rows = [line for line in to.export_text().splitlines() if line.startswith("|")]
    assert len(rows) == len(found.cells) + 3 + len(found.rows) + 2


@pytest.mark.parametrize(("p", "told"), [(0.0504, "0.0504"), (0.050004, "0.050004"), (0.05, "0.05"), (0.0496, "0.05")])
def test_a_p_value_never_shows_on_the_wrong_side_of_the_limit(found: MethodComparison, p: float, told: str) -> None:
    row = next(row for row in found.rows if row.against is not None)
    _, [line] = lines(replace(found, rows=[replace(row, against=replace(row.against, adjusted=p))]))
    assert line[-2] == told


def test_the_chart_has_each_methods_front_with_its_bands(found: MethodComparison) -> None:
    [price] = [one for one in found.prices if one.name == "perplexity"]
    marks = {mark.name: mark for mark in frontier_chart(found, price).marks if mark.name}
    # 2.5 is dearer than 1 and better on the selection half; 2 and 3 are better still.
    front = [("surgery", alpha) for alpha in (1.0, 2.5, 2.0, 3.0)]
    assert marks["surgery"].x == pytest.approx([100 * CELLS[one][2] for one in front])
    assert marks["surgery"].y == pytest.approx([(60 - CELLS[one][1]) / N for one in front])
    assert all(low < y < high for y, (low, high) in zip(marks["surgery"].y, marks["surgery"].y_intervals, strict=True))
    assert (marks["base"].x, marks["base"].y) == ((0.0,), (60 / N,))
    turned = replace(found, fronts={key: front[::-1] for key, front in found.fronts.items()})
    [again] = [mark for mark in frontier_chart(turned, price).marks if mark.name == "surgery"]
    assert again == marks["surgery"], "the line goes from the cheapest setting on the report half to the dearest"
    [kl] = [one for one in found.prices if one.name == "kl"]
    named = {mark.name for mark in frontier_chart(found, kl).marks}
    assert "lora" in named and "surgery" in named


def test_the_report_has_a_part_for_a_sweep_of_several_methods(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x"
    text = page(contents("x", folder, made(folder), RULE))
    assert "Methods at an equal price" in text
    assert '<a href="000000000001/result.json" data-cell="000000000001">alpha=2.0</a>' in text
    assert '"methods-price"' in text
    alone = [record for record in load_records(folder) if record.keys["method"] == "surgery"]
    assert "Methods at an equal price" not in page(contents("x", folder, alone, RULE))
    why = page(contents("x", folder, load_records(folder), None))
    assert "Methods are not compared: this sweep has no one rule" in why


def test_the_command_writes_all_of_it_and_says_bad_input_in_a_line(
    sweeps: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made(Path("outputs/runs/x"))
    ran = sweeps("methods", "x", "--csv", "m.csv", "--latex", "m.tex", "--markdown")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("| toxicity/toxic_rate"), "what reads Markdown ends a table at a line of blanks"
    assert "\n\n| at most" in ran.out, "two tables"
    told = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert any(line.startswith("| perplexity +5 % | lora | the one there is | 0.738 (") for line in told)
    assert len(Path("m.csv").read_text().splitlines()) == 6 * 3 + 1
    assert Path("m.tex").read_text().startswith("% 95")
    for name in ("perplexity", "kl"):
        for kind in ("png", "svg"):
            assert Path(f"outputs/runs/x/figures/methods-{name}.{kind}").stat().st_size > 5_000
    ran = sweeps("methods", "x", "--against", "nothing")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1 and "'nothing'" in ran.err
