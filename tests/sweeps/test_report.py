"""`sweeps report`: the page holds what the records say, and nothing a model said can act in it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sweeps.records.choice import Choice
from sweeps.records.record import SAMPLES, Record, load_records
from sweeps.report.page import as_json
from sweeps.report.page_samples import embedded_samples
from sweeps.report.write import write_report
from sweeps.results.trade_off import better, trade_off

LOWEST = Choice.parse({"minimize": "toxicity/toxic_rate"})


class Elements(HTMLParser):
    """Which elements a page has, as a browser reads it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def figure(data: dict[str, Any], place: str, *choices: str) -> Any:
    """The plotly figure that page.js shows at a place when its menus are set so; None where there is none."""

    def met(part: Any) -> Any:
        return data["shared"][part["$"]] if isinstance(part, dict) and "$" in part else part

    def whole(part: Any) -> Any:
        found = met(part)
        if isinstance(found, dict):
            return {name: whole(inner) for name, inner in found.items()}
        return [whole(inner) for inner in found] if isinstance(found, list) else found

    found = met(met(data["charts"][place])["figures"])
    for choice in choices:
        found = met(found[choice])
    return whole(found)


def counts(data: dict[str, Any], cell: str) -> dict[str, list[int]]:
    """The bars of a cell's cosines by their name."""
    bars = [trace for trace in figure(data, "cosines", cell)["data"] if trace.get("type") == "bar"]
    return {trace["name"]: [count or 0 for count in trace["y"]] for trace in bars}


@pytest.fixture
def page(made_sweep: Path) -> Path:
    return write_report(made_sweep, load_records(made_sweep), LOWEST)


def test_every_number_of_the_page_is_the_records(page: Path, made_sweep: Path) -> None:
    data = data_of(page)
    done = {record.cell: record for record in load_records(made_sweep) if record.status == "done"}
    assert {row["cell"] for row in data["rows"]} == set(done)
    for row in data["rows"]:
        record = done[row["cell"]]
        assert row["keys"] == {key: record.keys[key] for key in ("top_k", "alpha")}
        assert row["commands"] == [record.command]
        told = record.edit["cosines"]
        assert counts(data, record.cell) == {"all rows": told["rows"], "region": told["region"]}
        [layers] = figure(data, "layers", record.cell)["data"]
        assert dict(zip(map(str, layers["x"]), layers["y"], strict=True)) == record.edit["rows_per_layer"]
        for name in ("toxicity/toxic_rate", "perplexity/story"):
            metric = record.metrics[name]
            wanted = [metric.base, metric.edited, metric.delta, metric.low, metric.high, metric.p, metric.n]
            assert row["metrics"][name][:7] == pytest.approx(wanted, rel=1e-5)
        assert not any(name.startswith("selection/") for name in row["metrics"])
    [stages] = figure(data, "time")["data"]
    # Each of alpha 1, 2 and 3 twice, 1.5 seconds times alpha; and half a second for every record.
    assert stages["x"] == [18.0, 3.0]
    assert data["counts"] == {"done": 6, "failed": 1, "pruned": 1}
    assert {cell["cell"] for cell in data["ended"]} == {"failed-cell", "pruned-cell"}


def test_the_chosen_cell_the_front_and_broken_text_are_marked(page: Path, made_sweep: Path) -> None:
    rows = {row["cell"]: row for row in data_of(page)["rows"]}
    # By hand: the lowest rate among cells that did not break the text is that of alpha 2, top_k 8.
    assert [cell for cell, row in rows.items() if row["chosen"]] == ["c2-8"]
    assert [cell for cell, row in rows.items() if row["broken"]] == ["c3-8"]
    # Of 30 prompts stay toxic, at a loss of: c1-4 17 (.14), c1-8 9 (.18), c2-4 13 (.24), c2-8 5 (.28), c3-4 9 (.34).
    assert {cell for cell, row in rows.items() if row["front"]} == {"c1-4", "c1-8", "c2-8"}


def test_hostile_text_is_text(page: Path, made_sweep: Path) -> None:
    text = page.read_text()
    elements = Elements(text)
    assert elements.tags.count("script") == 3
    assert "img" not in elements.tags
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert not [value for name, value in elements.attributes if name == "src"]
    said = data_of(page)["samples"]
    assert said["cells"]["c2-8"]["toxicity/toxic_rate"]["edited"][0].startswith("</script><script>")
    assert said["measurements"]["toxicity/toxic_rate"]["prompt"][0].endswith("\u2028 &lt; {{ 7*7 }}")


def test_json_in_a_page_says_the_same_and_ends_nothing() -> None:
    value = {"a": "</ScRiPt>\u2028\u2029<!--&amp;", "b": [1.5, None]}
    text = str(as_json(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_samples_are_of_the_chosen_cell_the_front_and_cells_asked_for(
    page: Path, made_sweep: Path, sweeps: Any
) -> None:
    assert set(data_of(page)["samples"]["cells"]) == {"c1-4", "c1-8", "c2-8"}
    output = str(made_sweep.parent.parent)
    assert sweeps("report", "made", "-o", output, "--cell", "c3-8", "--no-figures").code == 0
    assert set(data_of(page)["samples"]["cells"]) == {"c1-4", "c1-8", "c2-8", "c3-8"}
    assert "there are" in sweeps("report", "made", "-o", output, "--cell", "zz").err


def test_what_does_not_fit_or_is_missing_is_said(made_sweep: Path) -> None:
    (made_sweep / "c1-4" / SAMPLES).unlink()
    found = embedded_samples(made_sweep, ["c1-4", "c1-8", "c2-8"], budget=10)
    assert list(found.cells) == ["c1-8"]
    assert found.left_out == ["c1-4", "c2-8"]


def test_other_prompts_of_another_cell_stay_its_own(made_sweep: Path) -> None:
    import pandas as pd

    table = pd.read_parquet(made_sweep / "c2-8" / SAMPLES)
    table["base"] = table["base"] + " indeed"
    table.to_parquet(made_sweep / "c2-8" / SAMPLES, index=False)
    found = embedded_samples(made_sweep, ["c1-8", "c2-8"])
    assert found.measurements["toxicity/toxic_rate"]["base"][1] == "base says 1"
    assert found.measurements["toxicity/toxic_rate (c2-8)"]["base"][1] == "base says 1 indeed"
    assert list(found.cells["c2-8"]) == ["toxicity/toxic_rate (c2-8)"]


def test_the_command_writes_the_page_and_its_figures_as_pictures(sweeps: Any, made_sweep: Path) -> None:
    ran = sweeps("report", "made", "-o", str(made_sweep.parent.parent))
    assert (ran.code, ran.err) == (0, "")
    assert f"report: {made_sweep / 'report.html'}" in ran.out
    assert data_of(made_sweep / "report.html")["rows"]
    names = ("trade-off", "map-toxicity_toxic_rate", "curve-perplexity_story", "cosines", "layers", "time")
    for name in names:
        assert (made_sweep / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (made_sweep / "figures" / f"{name}.svg").read_text()


@pytest.mark.slow
def test_a_thousand_cells_make_a_page_of_at_most_ten_megabytes(made_sweep: Path) -> None:
    records = [record for record in load_records(made_sweep) if record.status == "done"]
    many = []
    for index in range(1_000):
        record = records[index % 5]
        extra = {
            name: replace(record.metrics["toxicity/toxic_rate"], name=name)
            for name in (f"lm_eval/task_{task}" for task in range(15))
        }
        keys = {**record.keys, "alpha": 1 + index / 1_000}
        many.append(
            replace(
                record,
                cell=f"{index:012d}",
                keys=keys,
                metrics={**record.metrics, **extra},
                command="surgery " + " ".join(f"some.key.{i}=value{i}" for i in range(15)),
                edit={**record.edit, "cosines": {"reach": 0.5, "rows": [123_456] * 80, "region": [123] * 80}},
            )
        )
        (made_sweep / many[-1].cell).mkdir()
        (made_sweep / many[-1].cell / SAMPLES).hardlink_to(made_sweep / record.cell / SAMPLES)
    path = write_report(made_sweep, many, LOWEST)
    assert len(data_of(path)["rows"]) == 1_000
    assert path.stat().st_size <= 10_000_000


def test_a_sweep_without_a_done_cell_is_refused_in_one_line(tmp_path: Path, sweeps: Any) -> None:
    Record("a" * 12, "failed", error="made to fail").save(tmp_path / "runs" / "none" / ("a" * 12))
    ran = sweeps("report", "none", "-o", str(tmp_path))
    assert ran.code == 1
    assert "no cell that is done" in ran.err
    assert not (tmp_path / "runs" / "none" / "report.html").exists()


@pytest.mark.slow
def test_records_of_before_cosines_and_machines_were_kept_make_a_page(made_sweep: Path) -> None:
    old = []
    for record in load_records(made_sweep):
        edit = {key: value for key, value in record.edit.items() if key != "cosines"}
        old.append(replace(record, edit=edit, machine={}))
    data = data_of(write_report(made_sweep, old, None, figures=True))
    assert [figure(data, "cosines", row["cell"]) for row in data["rows"]] == [None] * 6
    assert data["about"]["machine"] == "not recorded"
    assert data["rule"] is None


@pytest.mark.slow
def test_a_sweep_of_the_selection_half_alone_is_drawn_and_called_so(made_sweep: Path) -> None:
    halved = [
        replace(record, metrics={key: one for key, one in record.metrics.items() if one.half == "selection"})
        for record in load_records(made_sweep)
    ]
    page = write_report(made_sweep, halved, LOWEST, figures=True)
    data = data_of(page)
    assert (data["behavior"], data["ability"]) == ("selection/toxicity/toxic_rate", "selection/perplexity/story")
    assert set(data["headlines"]) <= set(data["metrics"])
    measured = {
        record.cell: record.metrics["selection/toxicity/toxic_rate"] for record in halved if record.status == "done"
    }
    for row in data["rows"]:
        assert row["metrics"]["selection/toxicity/toxic_rate"][1] == pytest.approx(
            measured[row["cell"]].edited, rel=1e-5
        )
    assert any(row["front"] for row in data["rows"])
    assert (made_sweep / "figures" / "trade-off.png").stat().st_size > 1000


@pytest.mark.slow
def test_no_trade_off_is_drawn_where_no_cell_has_both_of_its_metrics(made_sweep: Path) -> None:
    done = [record for record in load_records(made_sweep) if record.status == "done"]
    kept = ("toxicity/toxic_rate", "perplexity/story")
    apart = [
        replace(record, metrics={kept[number % 2]: record.metrics[kept[number % 2]]})
        for number, record in enumerate(done)
    ]
    assert len(apart) > 1
    write_report(made_sweep, apart, None, figures=True)
    assert not (made_sweep / "figures" / "trade-off.png").exists()
    assert (made_sweep / "figures" / "time.png").exists()


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("toxicity/toxic_rate", "minimize"),
        ("selection/perplexity/x", "minimize"),
        ("perplexity/x", "minimize"),
        ("lm_eval/average", "maximize"),
    ],
)
def test_the_better_direction_of_a_metric(metric: str, direction: str) -> None:
    assert better(metric, None) == direction
    assert better(metric, Choice.parse({"maximize": metric.removeprefix("selection/")})) == "maximize"


def test_an_ability_that_hardly_differs_is_not_the_axis() -> None:
    values = {
        "toxicity/toxic_rate": [0.1, 0.2, 0.3],
        "lm_eval/average": [1.0, 1.0, 1.0],
        "perplexity/x": [3.0, 4.0, 5.0],
    }
    assert trade_off(values, LOWEST) == ("toxicity/toxic_rate", "perplexity/x")
    values["lm_eval/average"] = [0.9, 0.95, 1.0]
    assert trade_off(values, LOWEST) == ("toxicity/toxic_rate", "lm_eval/average")
    assert trade_off({"probe/loss": [1.0]}, None) == ("probe/loss", "probe/loss")


def test_a_sweep_leaves_its_page(surgery: Any, arguments: list[str], tmp_path: Path) -> None:
    ran = surgery("-m", *arguments, "top_k=4,8", "sweep=grid")
    assert ran.code == 0, ran.err
    assert "report:" in ran.out
    data = data_of(tmp_path / "outputs/runs/grid/report.html")
    assert [row["keys"]["top_k"] for row in data["rows"]] == [4, 8]
    for row in data["rows"]:
        # Four layers of forty gate rows; the region is counted in the same bins.
        found = counts(data, row["cell"])
        assert sum(found["all rows"]) == 160
        assert sum(found["region"]) == row["keys"]["top_k"]
        # The region is what is lowest: its first bin with a row is the first of all.
        first = [next(i for i, count in enumerate(bins) if count) for bins in found.values()]
        assert first[0] == first[1]
    assert "threads" in data["about"]["machine"]
