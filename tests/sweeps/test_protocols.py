"""Cells that were measured in different ways: never in one table, never chosen among."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_metrics import made_metrics

from sweeps.records.record import CONFIG, Record

LIMITS = {"p": 5, "q": 6}


def cell(alpha: float, rate: float, protocol: str) -> None:
    """A finished cell of the sweep `a`."""
    name = f"a{alpha}{protocol}"
    folder = Path("outputs/runs/a") / name
    metric = {"base": 0.9, "edited": rate, "delta": rate - 0.9, "ci95": [rate - 1.0, rate - 0.8], "p": 0.5, "n": 10}
    Record(
        name,
        "done",
        keys={"alpha": alpha},
        metrics=made_metrics({"rate": metric, "perplexity/x": metric}),
        protocol=protocol,
    ).save(folder)
    evaluation = {"limit": LIMITS[protocol], "choose": {"minimize": "rate"}}
    (folder / CONFIG).write_text(yaml.safe_dump({"evaluation": evaluation}))


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cells measured in one way, and one, by far the best, in another."""
    monkeypatch.chdir(tmp_path)
    cell(1.0, 0.5, "p"), cell(2.0, 0.4, "p"), cell(3.0, 0.1, "q")


@pytest.mark.parametrize("command", [["report", "a", "--no-figures"], ["best", "a"], ["dashboard", "a", "--json", "b"]])
def test_what_was_measured_in_two_ways_is_refused_until_one_is_named(mixed: None, sweeps: Any, command: Any) -> None:
    ran = sweeps(*command)
    assert (ran.code, ran.out) == (1, "")
    assert "p (2 cells), q (1 cells); evaluation.limit is 5 in p and 6 in q; say which with --protocol HASH" in ran.err
    assert (
        "names 0 of the ways to measure; there are p (2 cells), q (1 cells)" in sweeps(*command, "--protocol", "x").err
    )
    ran = sweeps(*command, "--protocol", "p")
    assert ran.code == 0, ran.err
    if command[0] == "dashboard":
        said = json.loads(Path("b").read_text())
        assert '"name": "protocol"' in json.dumps(said)
    else:
        assert "since it has no selection half: a2.0p" in ran.out
        assert "a3.0q" not in ran.out


@pytest.mark.slow
def test_a_sweep_over_what_is_measured_shows_each_way_in_a_table_of_its_own(
    surgery: Any, sweeps: Any, arguments: Any, results: Any, tmp_path: Path
) -> None:
    rule = "evaluation.choose={minimize: perplexity/story}"
    ran = surgery("-m", *arguments, "alpha=1,2", "top_k=4", rule, "evaluation.probe_loss=true,false")
    assert ran.code == 0, ran.err
    records = results()
    ways = {record["protocol"] for record in records.values()}
    assert len(records) == 4
    assert len(ways) == 2
    for protocol in ways:
        assert f"measured as {protocol}" in ran.out
    assert ran.out.count("* chosen on ") + ran.out.count("no cell is chosen") == 2
    assert "no report was written: the cells of" in ran.err
    with open(tmp_path / "outputs/runs/tiny-texts/results.csv", newline="") as file:
        assert {row["cell"]: row["protocol"] for row in csv.DictReader(file)} == {
            name: record["protocol"] for name, record in records.items()
        }
    # The same again for one of the ways has a page, with the cells of that way.
    again = surgery("-m", *arguments, "alpha=1,2", "top_k=4", rule, "evaluation.probe_loss=false")
    assert "cells not in it, since they were measured in another way: 2" in again.out
    page = (tmp_path / "outputs/runs/tiny-texts/report.html").read_text()
    (protocol,) = {record["protocol"] for name, record in records.items() if name in again.out}
    assert {name for name in records if f'"cell":"{name}"' in page.replace(": ", ":")} == {
        name for name, record in records.items() if record["protocol"] == protocol
    }
    refused = sweeps("best", "tiny-texts")
    assert "evaluation.probe_loss is" in refused.err


def test_a_search_over_what_is_measured_is_refused_before_it_begins(surgery: Any, arguments: Any) -> None:
    goal = "hydra.sweeper.directions={perplexity/story: minimize}"
    space = ("alpha=interval(1,2)", "top_k=4", "evaluation.probe_loss=choice(true,false)")
    ran = surgery("-m", "hydra/sweeper=optuna", *arguments, *space, goal)
    assert ran.code == 1
    assert "the space of this search changes what is measured" in ran.err
    assert not Path("outputs").exists()
