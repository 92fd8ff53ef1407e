"""Sweeps on a real SLURM and a real Ray: equal results, and what a death, a cancelled job or an interrupt leaves."""

import csv
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from waiting import wait_for

from sweeps.records.record import load_records

pytestmark = pytest.mark.cluster

GRID = ("alpha=-1,1", "top_k=4,8,12")


def fault(how: str, rows: int, log: Path, times: int = 1_000) -> list[str]:
    """A measurement of tests/sweeps/faults.py in place of the tiny world's own."""
    target = f"{{_target_: faults.Fault, how: {how}, rows: {rows}, log: {log}, times: {times}}}"
    return ["evaluation=none", f"+evaluation.measurements.fault={target}"]


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "runs" / "tiny-texts" / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]


def outcomes(folder: Path) -> dict[int, tuple[str, str | None]]:
    records = load_records(folder / "outputs" / "runs" / "tiny-texts")
    return {record.keys["top_k"]: (record.status, record.error) for record in records}


def counts(log: Path) -> dict[str, int]:
    """How often an edit of so many rows was measured."""
    lines = log.read_text().split() if log.exists() else []
    return {rows: lines.count(rows) for rows in lines if rows != "0"}


def queue() -> dict[str, str]:
    """The state of every job that SLURM remembers."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T"],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("|") for line in asked.stdout.split())


def running() -> list[str]:
    return [job for job, state in queue().items() if state in ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING")]


def test_groups_on_a_cluster_give_the_table_of_one_process(cluster, run, tmp_path) -> None:
    code, said = run(cluster, *GRID, "hydra.launcher.cells_per_job=2")
    assert code == 0, said
    assert "[6/6]" in said
    code, said = run("here", *GRID, "output_dir=alone")
    assert code == 0, said
    assert len(table(tmp_path / "alone")) == 6
    assert table(tmp_path / "outputs") == table(tmp_path / "alone")


def test_files_of_the_working_directory_are_never_taken_for_packages(cluster, run, tmp_path) -> None:
    for name in {*sys.stdlib_module_names, *packages_distributions(), "surgery", "evaluation", "sweeps", "toyworld"}:
        if name.isidentifier():
            (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the {name}.py of the working directory')")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/__init__.py").write_text("raise RuntimeError('the conf of the working directory')")
    code, said = run(cluster, "top_k=4,8")
    assert code == 0, said
    assert {status for status, _ in outcomes(tmp_path).values()} == {"done"}


def test_a_cell_that_kills_its_process_is_run_twice_and_costs_no_other_cell(cluster, run, tmp_path) -> None:
    log = tmp_path / "log"
    code, said = run(cluster, *fault("kill", 8, log), "top_k=4,8,12,16")
    assert code == 1, said
    found = outcomes(tmp_path)
    assert {rows: status for rows, (status, _) in found.items()} == {4: "done", 8: "failed", 12: "done", 16: "done"}
    assert str(found[8][1]).endswith(", 2 times")
    assert ("SLURM job" if cluster == "slurm" else "WorkerCrashedError") in str(found[8][1])
    assert counts(log) == {"4": 1, "8": 2, "12": 1, "16": 1}


def test_a_cell_that_is_killed_once_succeeds_when_it_is_run_again(cluster, run, tmp_path) -> None:
    code, said = run(cluster, *fault("kill", 8, tmp_path / "log", times=1), "top_k=4,8,12")
    assert code == 0, said
    assert "is run again" in said
    assert {status for status, _ in outcomes(tmp_path).values()} == {"done"}


def test_a_failed_cell_in_a_job_that_slurm_calls_completed_is_a_failed_cell(slurm, run, tmp_path) -> None:
    before = set(queue())
    code, said = run("slurm", *fault("raise", 8, tmp_path / "log"), "top_k=4,8,12")
    assert code == 1, said
    assert outcomes(tmp_path)[8] == ("failed", "RuntimeError: made to fail")
    assert "1 of 3 cells failed" in said
    wait_for(lambda: not running())
    assert {state for job, state in queue().items() if job not in before} == {"COMPLETED"}


@pytest.mark.parametrize("how", [["--state=RUNNING"], ["--signal=USR2"]], ids=["cancelled", "preempted"])
def test_the_cells_of_a_job_that_is_ended_from_outside_are_run_again(how, slurm, start, tmp_path) -> None:
    log = tmp_path / "log"
    process = start("slurm", *fault("slow", 0, log), "top_k=4,8,12,16,20,24")
    wait_for(lambda: len(counts(log)) >= 2)
    subprocess.run(["scancel", *how, *running()], check=True)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err + out
    assert "is run again" in err
    assert ("it was cancelled (SIGTERM)" if "--state=RUNNING" in how else "preempted (SIGUSR2)") in err
    assert {status for status, _ in outcomes(tmp_path).values()} == {"done"}
    assert sum(counts(log).values()) <= 7


def test_an_interrupt_ends_the_jobs_keeps_what_is_done_and_the_same_command_goes_on(cluster, start, tmp_path) -> None:
    log = tmp_path / "log"
    arguments = (*fault("slow", 0, log), "top_k=4,8,12,16,20,24")
    process = start(cluster, *arguments)
    wait_for(lambda: any(status == "done" for status, _ in outcomes(tmp_path).values()))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 130, err + out
    if cluster == "slurm":
        wait_for(lambda: not running(), seconds=20)
    kept = set(outcomes(tmp_path))
    assert 1 <= len(kept) < 6
    time.sleep(2)
    assert set(outcomes(tmp_path)) == kept, "something still ran"
    again = start(cluster, *arguments)
    out, err = again.communicate(timeout=900)
    assert again.returncode == 0, err + out
    assert f"{len(kept)} of 6 cells are finished already" in err
    assert len(outcomes(tmp_path)) == 6


def test_jobs_outlive_the_command_and_the_same_command_waits_for_what_they_run(slurm, start, tmp_path) -> None:
    log = tmp_path / "log"
    arguments = (*fault("slow", 0, log), "top_k=4,8,12,16,20,24")
    first = start("slurm", *arguments)
    wait_for(lambda: bool(counts(log)))
    first.kill()
    first.communicate()
    second = start("slurm", *arguments, "hydra.launcher.cells_per_job=3")
    out, err = second.communicate(timeout=900)
    assert second.returncode == 0, err + out
    assert {status for status, _ in outcomes(tmp_path).values()} == {"done"}
    assert set(counts(log).values()) == {1}


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("hydra.launcher.partition=nowhere", "sbatch refuses the jobs: "),
        ("hydra.launcher.jobs=0", "hydra.launcher.jobs=0 is not possible: it is a whole number from 1"),
    ],
)
def test_what_slurm_can_not_do_is_said_in_one_line(setting, sentence, slurm, run) -> None:
    code, said = run("slurm", "top_k=4,8", setting)
    assert code == 1
    [line] = [line for line in said.strip().splitlines() if line.startswith("surgery: ")]
    assert line.startswith(f"surgery: {sentence}") and said.strip().endswith(line)


@pytest.mark.parametrize("how", ["it ends", "it is killed"])
def test_a_ray_of_our_own_leaves_nothing_behind(how, start, tmp_path, monkeypatch) -> None:
    # Ray's sockets lie in it, and their paths have to be short.
    with TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        log = tmp_path / "log"
        process = start("ray", *fault("slow", 0, log), "top_k=4,8")

        def sessions() -> list[Path]:
            return [path for path in Path(place).glob("ray/session_*") if path.exists()]

        wait_for(lambda: bool(counts(log)))
        assert sessions()
        if how == "it is killed":
            process.kill()
        out, err = process.communicate(timeout=900)
        assert how == "it is killed" or process.returncode == 0, err + out
        wait_for(lambda: not sessions(), seconds=60)
        assert not [path for path in Path(place).rglob("*") if path.is_file()]


def test_more_than_ray_has_is_said_in_one_line(run) -> None:
    code, said = run("ray", "top_k=4,8", "hydra.launcher.gpus_per_worker=99")
    assert code == 1
    [line] = [line for line in said.strip().splitlines() if line.startswith("surgery: ")]
    assert line.startswith("surgery: hydra.launcher asks for 1 processors and 99 GPUs a worker; Ray has ")


def test_workers_of_a_slurm_job_share_a_server_of_that_job(slurm, run, tmp_path, monkeypatch, vllm_python) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    served = "engine=vllm", f"engine.python={vllm_python}", "probe=mean_difference", "top_k=24", "alpha=0.5,1"
    code, said = run("slurm", *served, "hydra.launcher.workers_per_job=2")
    assert code == 0, said
    assert {record.status for record in load_records(tmp_path / "outputs" / "runs" / "tiny-texts")} == {"done"}
    assert said.count("starting vLLM") == 1
    assert len(list((tmp_path / "outputs" / "runs" / "tiny-texts").glob("vllm-*.log"))) == 1
    wait_for(lambda: not list(tmp_path.glob("llm-surgery-*/*/state.json")))
