"""The best cell is named in one place, only where one can be, and whoever asks hears the same."""

import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_metrics import made_metrics
from rich.console import Console

from evaluation.measurements.measurement import Measurement
from sweeps.records.choice import Choice
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import CONFIG, SAMPLES, Record
from sweeps.records.samples import write_samples
from sweeps.results.best_cell import choose
from sweeps.terminal.progress import Progress
from sweeps.terminal.summary import show_choice, told

RATE, TEXT, ABILITY = "toxicity/toxic_rate", "perplexity/story", "lm_eval/average"


def metric(base: float | None, edited: float, interval: Sequence[float | None] = (None, None), **more: Any) -> Any:
    delta = None if base is None else edited - base
    return {"base": base, "edited": edited, "delta": delta, "ci95": list(interval), "n": 30} | more


def share(base: float, edited: float, width: float = 0.05) -> Any:
    """A share whose interval reaches so far to both sides."""
    return metric(base, edited, (edited - base - width, edited - base + width))


def tell(entry: dict[str, Any]) -> str:
    return told(made_metrics({"x": entry})["x"])


def pick(rule: dict[str, Any], /, **cells: dict[str, Any]) -> tuple[str | None, str]:
    records = [
        Record(name, "done", keys={"model": name}, metrics=made_metrics(metrics)) for name, metrics in cells.items()
    ]
    found = [choose(order, Choice.parse(rule), Path()) for order in (records, records[::-1])]
    best = {one.best.cell if one.best else None for one in found}
    assert len(best) == 1, "the order of the cells decided"
    return best.pop(), found[0].why


LOWEST = {"minimize": RATE}


def test_the_choice_looks_at_the_selection_half_and_never_at_the_report_half() -> None:
    a = {f"selection/{RATE}": share(0.8, 0.3), RATE: share(0.8, 0.0), ABILITY: metric(1.0, 0.99)}
    b = {f"selection/{RATE}": share(0.8, 0.2), RATE: share(0.8, 0.9), ABILITY: metric(1.0, 0.98)}
    c = {f"selection/{RATE}": share(0.8, 0.1), RATE: share(0.8, 0.1), ABILITY: metric(1.0, 0.5)}
    assert pick(LOWEST | {"where": [f"{ABILITY}/delta >= -0.03"]}, a=a, b=b, c=c) == ("b", "")
    assert pick({"minimize": RATE}, a=a, b=b, c=c) == ("c", "")
    best, why = pick(LOWEST | {"where": [f"{RATE} <= 0.05"]}, a=a, b=b, c=c)
    assert best is None and "no cell qualifies" in why and "on the selection half" in why


def test_without_a_selection_half_it_is_said_what_was_looked_at() -> None:
    [record] = [Record("a", "done", metrics=made_metrics({RATE: share(0.8, 0.3)}))]
    assert choose([record], Choice.parse(LOWEST), Path()).half == " on all samples, since it has no selection half"


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ((RATE, f"selection/{RATE}"), "on the report half:"),
        ((f"selection/{RATE}",), "on the selection half, since nothing was measured on the other:"),
    ],
)
def test_what_is_told_of_the_chosen_cell_says_on_which_half_it_was_measured(
    measured: Sequence[str], said: str, tmp_path: Path
) -> None:
    edit = {"region": "some rows", "rows_per_layer": {"1": 1}, "base": "f"}
    metrics = made_metrics({name: share(0.8, 0.3) for name in measured})
    choice = Choice.parse(LOWEST)
    found = choose([Record("a", "done", keys={"alpha": 1}, metrics=metrics, edit=edit)], choice, tmp_path)
    shown = Console(file=io.StringIO(), width=200)
    show_choice(found, choice, shown)
    assert said in [line.strip() for line in shown.file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("rule", "entry", "said"),
    [
        (
            {"minimize": RATE},
            share(0.0, 0.0),
            "of the base is 0.000 already on the selection half, the lowest possible",
        ),
        ({"maximize": "refusal_rate"}, share(1.0, 1.0), "of the base is 1.000 already"),
        ({"maximize": "refusal_rate"}, share(1.0, 0.4), "the highest possible"),
        ({"minimize": RATE}, share(0.1, 0.1), "not distinguishable from the base's on the selection half (n = 30)"),
        ({"minimize": RATE}, share(0.1, 0.07), "not distinguishable from the base's"),
        ({"minimize": RATE}, share(0.1, 0.5), "distinguishably below the base's"),
        ({"maximize": RATE}, share(0.5, 0.1), "distinguishably above the base's"),
        # One sample has an interval without width; a made-up certainty.
        ({"minimize": "x"}, metric(0.5, 0.4, (-0.1, -0.1), p=1.0), "not distinguishable"),
    ],
)
def test_where_there_is_nothing_to_choose_no_cell_is_named(rule: Any, entry: Any, said: str) -> None:
    name = f"selection/{next(iter(rule.values()))}"
    best, why = pick(rule, a={name: entry, TEXT: share(3, 3.1)}, b={name: dict(entry), TEXT: share(3, 3.2)})
    assert best is None
    assert said in why and why.startswith("no cell is chosen: ")


def test_no_cell_is_chosen_where_nothing_was_measured_or_done() -> None:
    best, why = pick({"minimize": "unmeasured"}, a={RATE: share(0.8, 0.1)})
    assert (best, why) == (None, f"no cell measured unmeasured; what was measured is {RATE}")
    assert choose([Record("a", "failed")], Choice.parse(LOWEST), Path()).why == "no cell is done"


def test_a_metric_without_a_base_is_chosen_by_its_value() -> None:
    cells = {name: {"probe/test_accuracy": metric(None, value)} for name, value in (("a", 0.9), ("b", 0.95))}
    assert pick({"maximize": "probe/test_accuracy"}, **cells) == ("b", "")


def test_of_equal_cells_the_cheapest_is_chosen_whatever_their_order() -> None:
    def cell(ratio: float | None, ability: float = 0.9) -> dict[str, Any]:
        price = {} if ratio is None else {f"selection/{TEXT}": share(3.0, 3.0 * ratio), TEXT: share(3.0, 3.0)}
        return {f"selection/{RATE}": share(0.9, 0.0), ABILITY: metric(0.9, ability), **price}

    best, why = pick(LOWEST, a=cell(1.2), b=cell(1.05), c=cell(1.1))
    assert best == "b" and "3 cells have this value" in why and "price" in why
    assert pick(LOWEST, a=cell(1.1, 0.8), b=cell(1.1, 0.85))[0] == "b"
    best, why = pick(LOWEST, b=cell(None), a=cell(None))
    assert best == "a" and "with others" in why


def test_a_percentage_is_told_only_of_what_is_distinguishable() -> None:
    assert tell(share(0.9, 0.0)).startswith(
        "0.900 → 0.000  (-100%; change -0.900, 95 % interval -0.950 to -0.850, n=30"
    )
    line = tell(share(0.1, 0.07))
    assert "not distinguishable from no change (n = 30)" in line and "%;" not in line
    # A base of 0 has no percentage, but is told all the same.
    assert tell(share(0.0, 0.3)) == "0.000 → 0.300  (change +0.300, 95 % interval +0.250 to +0.350, n=30)"
    assert tell(metric(None, 0.95)) == "0.950"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_no_percentage_where_the_interval_holds_no_change(
    base: float, edited: float, below: float, above: float
) -> None:
    delta = edited - base
    line = tell(metric(base, edited, (delta - below, delta + above), p=0.5))
    low, high = delta - below, delta + above
    holds = low <= 0 <= high
    # An interval without width tells nothing; there p is asked.
    assert ("not distinguishable from no change (n = 30)" in line) == (holds or low == high)
    assert not (holds and re.search(r"\d%", line))


# ---- whoever asks hears the same


@dataclass(frozen=True)
class Made:
    """A made-up cell: how many of 12 prompts of each half turn, and what its text loses."""

    alpha: int
    seed: int
    selected: int
    reported: int
    loss: float


CELLS = st.lists(
    st.builds(
        Made,
        alpha=st.integers(1, 3),
        seed=st.integers(0, 1),
        selected=st.sampled_from([0, 1, 2, 8, 9, 12]),
        reported=st.integers(0, 12),
        loss=st.sampled_from([0.0, 0.1, 0.1, 9.0]),
    ),
    min_size=2,
    max_size=4,
    unique_by=lambda made: (made.alpha, made.seed),
)
WHERE = st.sampled_from([[], [f"{TEXT}/ratio <= 1.02"], [f"{RATE} <= 0.4"]])
IDS = tuple(f"s{index}" for index in range(12))
WEIGHTS = np.full(12, 10.0)


def write(folder: Path, made: Made, toxic: bool, rule: dict[str, Any]) -> Record:
    base, edited = [], []
    for half, turned in (("report", made.reported), ("selection", made.selected)):
        before = np.full(12, float(toxic))
        after = before.copy()
        after[:turned] = 0.0
        losses = 20.0 + np.arange(12) / 10
        weighted: dict[str, Any] = {"statistic": "perplexity", "weights": WEIGHTS}
        base += [Measurement(RATE, half, IDS, before, outputs=IDS), Measurement(TEXT, half, IDS, losses, **weighted)]  # type: ignore[arg-type]
        edited += [
            Measurement(RATE, half, IDS, after, outputs=IDS),  # type: ignore[arg-type]
            Measurement(TEXT, half, IDS, losses + made.loss, **weighted),  # type: ignore[arg-type]
        ]
    cell = f"{made.alpha}{made.seed}".ljust(12, "0")
    (folder / cell).mkdir(parents=True)
    write_samples(folder / cell / SAMPLES, base, edited)
    (folder / cell / CONFIG).write_text(yaml.safe_dump({"evaluation": {"choose": rule}}))
    edit = {"region": "some rows", "rows_per_layer": {"1": 1}, "base": "f"}
    keys = {"alpha": made.alpha, "seed": made.seed}
    record = Record(cell, "done", protocol="p", keys=keys, metrics=metrics_of(base, edited, 0), edit=edit)
    record.save(folder / cell)
    return record


def named(text: str) -> str | None:
    """The cell that is said to be chosen, or the best so far."""
    found = re.search(r"(?:chosen on the selection half:|best so far) (\d{12})", text)
    return found[1] if found else None


@given(made=CELLS, where=WHERE, toxic=st.booleans() | st.just(True))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.slow
def test_compare_best_report_search_and_the_end_of_a_sweep_name_the_same_cell(
    sweeps, tmp_path, made: list[Made], where: list[str], toxic: bool
) -> None:
    from sweeps.conduct.run_plan import tell
    from sweeps.search.run_search import _tell

    shutil.rmtree(tmp_path / "outputs", ignore_errors=True)
    folder, output = tmp_path / "outputs" / "runs" / "made", str(tmp_path / "outputs")
    rule = {"minimize": RATE, "where": where}
    records = {record.cell: record for record in (write(folder, one, toxic, rule) for one in made)}
    choice = Choice.parse(rule)

    expected = choose(list(records.values()), choice, folder).best
    best = expected.cell if expected else None

    ran = sweeps("best", "made", "-o", output)
    assert (named(ran.out), ran.code) == (best, 0 if best else 1)
    assert len(ran.err.splitlines()) == (0 if best else 1)
    assert named(sweeps("report", "made", "-o", output, "--no-figures").out) == best
    page = (folder / "report.html").read_text()
    assert re.findall(r'<strong>Chosen on the selection half:</strong>\s*<a href="(\d+)', page) == (
        [best] if best else []
    )
    assert named(sweeps("compare", "made", "made", "-o", output).out) == best

    capture = io.StringIO()
    to = Console(file=capture, width=400)
    plan = SimpleNamespace(
        experiments=[SimpleNamespace(cell=SimpleNamespace(id=cell)) for cell in records],
        choice=choice, sweep_folder=folder, label=lambda cell: cell,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sweeps.conduct.run_plan.console", lambda stderr=False: to)
        patch.setattr("sweeps.search.run_search.console", lambda: to)
        tell(plan, records)  # type: ignore[arg-type]
        assert named(capture.getvalue()) == best
        capture.truncate(0)
        search = SimpleNamespace(cells=lambda: records, choice=choice, objectives=[0], first=plan, exhausted=False)
        _tell(search, records)  # type: ignore[arg-type]
        assert named(capture.getvalue()) == best
        capture.truncate(0)
        progress = Progress(to, total=len(records) + 1)
        for record in records.values():
            progress.ended(record, plan)  # type: ignore[arg-type]
        line = capture.getvalue().splitlines()[-1]
        assert named(line) == best
        assert f"selection/{RATE} {float(toxic):.3f} → " in line


def test_what_was_finished_before_can_be_the_best_so_far(tmp_path: Path) -> None:
    rule = {"minimize": RATE}
    first, second, third = (
        write(tmp_path, Made(alpha, 0, turned, 0, 0.0), True, rule) for alpha, turned in ((1, 12), (2, 9), (3, 9))
    )
    capture = io.StringIO()
    progress = Progress(Console(file=capture, width=400), total=4)
    progress.finished(1, [first])
    plan: Any = SimpleNamespace(choice=Choice.parse(rule), sweep_folder=tmp_path, label=lambda cell: cell)
    progress.ended(second, plan)
    progress.ended(third, plan)
    assert f"best so far {first.cell} with selection/{RATE} 0.000" in capture.getvalue().splitlines()[-1]
