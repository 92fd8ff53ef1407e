"""Grids: what is shared, what is resumed, what a failure leaves."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation.perplexity import Perplexity
from surgery import InputError
from surgery.model.weights import AutoModelForCausalLM

GRID = ("-m", "alpha=-1,1", "top_k=4,8")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Counts the real thing: loading a model, taking a perplexity, taking hidden states of all texts."""
    from sweeps.run import states_stage

    counts = {"load": 0, "measure": 0, "states": 0}

    def counted(name: str, function):
        def wrapper(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", counted("load", AutoModelForCausalLM.from_pretrained))
    monkeypatch.setattr(Perplexity, "measure", counted("measure", Perplexity.measure))
    collect = states_stage.collect_hidden_states
    monkeypatch.setattr(states_stage, "collect_hidden_states", counted("states", collect))
    return counts


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "outputs" / "runs" / "tiny-texts" / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(table: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in table]


def test_a_grid_loads_the_model_once_and_measures_the_base_once(surgery, arguments, calls, tmp_path) -> None:
    ran = surgery(*arguments, *GRID)
    assert ran.code == 0, ran.err
    assert calls == {"load": 1, "measure": 1 + 4, "states": 1}
    table = rows(tmp_path)
    assert {(row["alpha"], row["top_k"]) for row in table} == {("-1.0", "4"), ("-1.0", "8"), ("1.0", "4"), ("1.0", "8")}
    assert len({row["perplexity/story/base"] for row in table}) == 1
    assert len({row["perplexity/story"] for row in table}) == 4
    assert "[4/4]" in ran.err
    assert ran.out.count("perplexity/story") >= 1
    assert "* chosen on all samples, since it has no selection half: " in ran.out or "no cell" in ran.out


def test_a_sweep_over_layers_reads_the_texts_once(surgery, arguments, calls, tmp_path) -> None:
    assert surgery(*arguments, "-m", "layer=1,2,4").code == 0
    assert calls["states"] == 1
    assert {row["layer"] for row in rows(tmp_path)} == {"1", "2", "4"}


def test_the_same_command_again_runs_nothing_and_gives_the_same_table(surgery, arguments, calls, tmp_path) -> None:
    assert surgery(*arguments, *GRID).code == 0
    first = rows(tmp_path)
    calls.update(dict.fromkeys(calls, 0))
    again = surgery(*arguments, *GRID)
    assert again.code == 0
    assert calls == {"load": 0, "measure": 0, "states": 0}
    assert "4 of 4 cells are finished already" in again.err
    assert rows(tmp_path) == first


def test_a_larger_grid_extends_the_sweep_and_reuses_probe_and_base(surgery, arguments, calls, tmp_path) -> None:
    assert surgery(*arguments, *GRID).code == 0
    calls.update(dict.fromkeys(calls, 0))
    assert surgery(*arguments, "-m", "alpha=-1,1,2", "top_k=4,8").code == 0
    assert calls == {"load": 1, "measure": 2, "states": 0}
    assert len(rows(tmp_path)) == 6


def test_duplicate_cells_run_once(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, "-m", "alpha=1,1.0,1e0").code == 0
    assert len(rows(tmp_path)) == 1


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Makes the cells with top_k=4 fail while they are measured."""
    from sweeps.run import run_cell

    original = run_cell.measure_edited

    def edited(work, probe):
        if work.cell.top_k == 4:
            raise InputError("this one was made to fail")
        return original(work, probe)

    monkeypatch.setattr(run_cell, "measure_edited", edited)
    return lambda: monkeypatch.setattr(run_cell, "measure_edited", original)


def test_a_failed_cell_is_recorded_and_shown_and_the_rest_go_on(surgery, arguments, failing, results, tmp_path) -> None:
    ran = surgery(*arguments, *GRID)
    assert ran.code == 1
    statuses = sorted(str(record["status"]) for record in results().values())
    assert statuses == ["done", "done", "failed", "failed"]
    assert len(rows(tmp_path)) == 2
    assert ran.err.count("this one was made to fail") == 2
    assert "2 of 4 cells failed" in ran.out
    failed = [record for record in results().values() if record["status"] == "failed"]
    assert {record["error"] for record in failed} == {"this one was made to fail"}


@pytest.mark.slow
def test_failed_cells_stay_failed_until_they_are_asked_for_again(surgery, arguments, failing, tmp_path) -> None:
    assert surgery(*arguments, *GRID).code == 1
    failing()
    again = surgery(*arguments, *GRID)
    assert again.code == 1
    assert "retry_failed=true" in again.err
    assert surgery(*arguments, *GRID, "retry_failed=true").code == 0
    assert len(rows(tmp_path)) == 4


def test_fail_fast_stops_at_the_first_failure(surgery, arguments, failing, results) -> None:
    assert surgery(*arguments, *GRID, "fail_fast=true").code == 1
    assert [record["status"] for record in results().values()] == ["failed"]


def test_a_failed_cell_leaves_the_model_as_it_was(surgery, arguments, failing, tmp_path) -> None:
    surgery(*arguments, *GRID)
    with_failures = without_seconds(rows(tmp_path))
    failing()
    surgery(*arguments, "-m", "alpha=-1,1", "top_k=8", "output_dir=clean")
    with open(tmp_path / "clean" / "runs" / "tiny-texts" / "results.csv", newline="") as file:
        assert without_seconds(list(csv.DictReader(file))) == with_failures


@pytest.mark.slow
def test_a_killed_sweep_resumes_to_the_results_of_an_undisturbed_one(arguments, surgery, tmp_path) -> None:
    """SIGKILL to the real process while cells run."""
    grid = ["-m", "alpha=-2,-1,1,2", "top_k=4,8,16", *arguments]
    command = [str(Path(sys.executable).parent / "surgery"), *grid, "output_dir=killed"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("[2/12]"):
            break
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = tmp_path / "killed" / "runs" / "tiny-texts"
    finished = len(list(killed.glob("*/result.json")))
    assert 2 <= finished < 12
    resumed = surgery(*grid, "output_dir=killed")
    assert resumed.code == 0, resumed.err
    assert f"{finished} of 12 cells are finished already" in resumed.err
    assert surgery(*grid).code == 0
    with open(killed / "results.csv", newline="") as file:
        assert without_seconds(list(csv.DictReader(file))) == without_seconds(rows(tmp_path))
    assert not list(killed.glob("**/*.tmp"))


@pytest.mark.slow
def test_an_interrupt_drops_the_cell_in_flight_and_says_how_to_go_on(arguments, tmp_path) -> None:
    grid = ["-m", "alpha=-4,-3,-2,-1,1,2,3,4", "top_k=4,8,12,16,20,24,28,32", *arguments]
    command = [str(Path(sys.executable).parent / "surgery"), *grid]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("[1/64]"):
            process.send_signal(signal.SIGINT)
            break
    lines += process.stderr.readlines()
    assert process.wait() == 130
    assert "the same command goes on" in lines[-1]
    assert not any("Traceback" in line for line in lines)
    finished = list((tmp_path / "outputs").glob("runs/*/*/result.json"))
    assert 1 <= len(finished) < 64


def test_dry_run_shows_cells_and_stages_and_runs_nothing(surgery, arguments, calls, tmp_path) -> None:
    ran = surgery(*arguments, *GRID, "dry_run=true")
    assert ran.code == 0
    assert "cells of sweep tiny-texts: 4" in ran.out
    assert "hidden_states: 1 to make, 0 to reuse" in ran.out
    assert "cells that would run: 4;" in ran.out
    assert calls == {"load": 0, "measure": 0, "states": 0}
    assert not list(tmp_path.iterdir())
    assert surgery(*arguments, "-m", "alpha=-1", "top_k=4,8").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    ran = surgery(*arguments, *GRID, "dry_run=true")
    assert "hidden_states: 0 to make, 1 to reuse" in ran.out
    assert "cells that would run: 2;" in ran.out
    assert ran.out.count("be kept: done") == 2


@pytest.mark.slow
def test_list_status_and_report_tell_of_a_sweep(surgery, sweeps, arguments, results) -> None:
    assert surgery(*arguments, *GRID).code == 0
    assert "tiny-texts" in sweeps("list").out
    status = sweeps("status", "tiny-texts").out
    assert "4 done" in status
    assert "edited" in status
    report = sweeps("report", "tiny-texts").out
    for cell in results():
        assert cell in report
    assert "chosen on all samples" in report


@pytest.mark.slow
def test_cells_with_different_keys_stand_in_one_table(surgery, sweeps, arguments) -> None:
    assert (
        surgery(*arguments, "-m", "probe=adam,mean_difference", "evaluation.choose.minimize=perplexity/story").code == 0
    )
    report = sweeps("report", "tiny-texts")
    assert report.code == 0
    assert "chosen on all samples" in report.out


def test_sweeps_commands_refuse_what_is_not_there_in_one_line(surgery, sweeps, arguments) -> None:
    nothing = sweeps("list")
    assert (nothing.code, len(nothing.err.splitlines())) == (1, 1)
    assert surgery(*arguments).code == 0
    for asked, part in (
        (("report", "other"), "there are tiny-texts"),
        (("samples", "tiny-texts", "zz"), "'zz' names 0 cells"),
        (("frobnicate",), "No such command"),
    ):
        ran = sweeps(*asked)
        assert ran.code == 1
        assert part in ran.err
        assert len(ran.err.splitlines()) == 1


def test_others_may_read_what_a_sweep_leaves_where_the_user_lets_them(surgery, sweeps, arguments, tmp_path) -> None:
    before = os.umask(0o027)
    try:
        assert surgery(*arguments, "alpha=1", "top_k=4", "sweep=one").code == 0
        [cell] = [path.parent.name for path in (tmp_path / "outputs" / "runs" / "one").glob("*/result.json")]
        assert sweeps("export", "one", cell, "adapter").code == 0
    finally:
        os.umask(before)
    left = [path for folder in ("outputs", "adapter") for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert {path.suffix for path in left} >= {".safetensors", ".json", ".parquet"}
    assert [path for path in left if path.stat().st_mode & 0o777 != 0o640] == []
