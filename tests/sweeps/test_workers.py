"""Cells in worker processes: real ones, killed for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from surgery import InputError
from sweeps.executors.worker_pool import worker_environments
from sweeps.records.record import load_records

GRID = ("-m", "alpha=-1,1", "top_k=4,8")
SURGERY = str(Path(sys.executable).parent / "surgery")
WITH_FAULTS = {"PYTHONPATH": str(Path(__file__).parent)}


@pytest.fixture
def in_workers(arguments: list[str]) -> list[str]:
    """The experiment as `arguments` have it, but in worker processes."""
    return [argument for argument in arguments if "hydra.launcher" not in argument]


def with_fault(arguments: list[str], how: str, rows: int, log: Path, times: int = 1_000) -> list[str]:
    """The arguments with a measurement that goes wrong in place of theirs."""
    target = f"{{_target_: faults.Fault, how: {how}, rows: {rows}, log: {log}, times: {times}}}"
    kept = [argument for argument in arguments if not argument.startswith("evaluation.")]
    return [*kept, "evaluation=none", f"+evaluation.measurements.fault={target}"]


def outcomes(folder: Path) -> dict[tuple[float, int], tuple[str, str | None]]:
    records = load_records(folder / "outputs" / "runs" / "tiny-texts")
    return {(r.keys["alpha"], r.keys["top_k"]): (r.status, r.error) for r in records}


def metrics(folder: Path) -> dict[str, object]:
    return {record.cell: record.metrics for record in load_records(folder / "runs" / "tiny-texts")}


@pytest.mark.slow
def test_two_workers_give_the_results_of_none(in_workers, command, surgery, tmp_path) -> None:
    ran = command("surgery", *in_workers, *GRID, "hydra.launcher.workers=2")
    assert ran.code == 0, ran.err
    assert "[4/4]" in ran.err
    assert surgery(*in_workers, *GRID, "hydra.launcher.workers=0", "output_dir=alone").code == 0
    assert metrics(tmp_path / "outputs") == metrics(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "RuntimeError: made to fail"),
        ("no_number", "ValueError: rows_changed: the score of sample one is not finite"),
        ("kill", "its worker process was killed by SIGKILL (out of memory?), 2 times"),
    ],
)
def test_a_cell_that_goes_wrong_is_recorded_and_the_rest_go_on(how, reason, in_workers, command, tmp_path) -> None:
    log = tmp_path / "log"
    ran = command("surgery", *with_fault(in_workers, how, 8, log), "-m", "top_k=4,8,12", env=WITH_FAULTS)
    assert ran.code == 1
    assert outcomes(tmp_path) == {(1.0, 4): ("done", None), (1.0, 8): ("failed", reason), (1.0, 12): ("done", None)}
    assert reason in ran.err
    assert "1 of 3 cells failed" in ran.out
    assert log.read_text().split().count("8") == (2 if how == "kill" else 1)


@pytest.mark.slow
def test_a_worker_that_was_killed_is_replaced_and_its_cell_run_again(in_workers, command, tmp_path) -> None:
    log = tmp_path / "log"
    ran = command("surgery", *with_fault(in_workers, "kill", 8, log, times=1), "-m", "top_k=4,8,12", env=WITH_FAULTS)
    assert ran.code == 0, ran.err
    assert {status for status, _ in outcomes(tmp_path).values()} == {"done"}
    assert "killed by SIGKILL" in ran.err
    assert "is run again" in ran.err


@pytest.mark.slow
def test_two_commands_at_once_run_no_cell_twice(in_workers, tmp_path) -> None:
    log = tmp_path / "log"
    arguments = [SURGERY, *with_fault(in_workers, "slow", 0, log), "-m", "top_k=4,8,12,16,20,24"]
    both = [
        subprocess.Popen(arguments, cwd=tmp_path, env={**os.environ, **WITH_FAULTS}, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=900)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    measured = [int(line) for line in log.read_text().split() if line != "0"]
    assert sorted(measured) == [4, 8, 12, 16, 20, 24]
    assert len(outcomes(tmp_path)) == 6


def _workers_of(process: "subprocess.Popen[str]") -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(pid) for pid in children if b"sweeps.executors.worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def _gone(pid: int, within: float = 30.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_command(number, in_workers, tmp_path, until_line: Callable[..., str]) -> None:
    process = subprocess.Popen(
        [SURGERY, *with_fault(in_workers, "slow", 0, tmp_path / "log"), "-m", "alpha=-2,-1,1,2", "top_k=4,8,16"],
        cwd=tmp_path,
        env={**os.environ, **WITH_FAULTS},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    until_line(process, "[1/12]")
    workers = _workers_of(process)
    process.send_signal(number)
    rest = process.stderr.read()
    process.wait()
    assert len(workers) == 1
    assert all(_gone(pid) for pid in workers)
    folder = tmp_path / "outputs" / "runs" / "tiny-texts"
    assert 1 <= len(load_records(folder)) < 12
    assert not list((tmp_path / "outputs").glob("**/*.tmp"))
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on" in rest.splitlines()[-1]
        assert "Traceback" not in rest


@pytest.mark.slow
def test_what_a_measurement_lacks_ends_the_command_in_one_line(in_workers, command, world) -> None:
    ran = command("surgery", *in_workers, *GRID, f"evaluation.prompts={world.prompts}")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("surgery: ")
    assert ran.err.count("surgery: ") == 1
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("workers", "gpus_per_worker", "gpus", "expected"),
    [
        (None, 1, [], [{}]),
        (3, 1, [], [{}, {}, {}]),
        (None, 1, ["0", "1"], [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]),
        (None, 2, ["4", "5", "6", "7", "8"], [{"CUDA_VISIBLE_DEVICES": "4,5"}, {"CUDA_VISIBLE_DEVICES": "6,7"}]),
        (1, 2, ["0", "1", "2", "3"], [{"CUDA_VISIBLE_DEVICES": "0,1"}]),
        (2, 0, ["0"], [{}, {}]),
    ],
)
def test_each_worker_sees_gpus_of_its_own(
    workers, gpus_per_worker, gpus, expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert worker_environments(workers, gpus_per_worker, gpus) == expected


@pytest.mark.parametrize(
    ("workers", "cores", "gpus", "threads"), [(2, 8, [], "4"), (3, 2, [], "1"), (1, 8, [], None), (2, 8, ["0"], None)]
)
def test_several_workers_on_a_cpu_share_its_cores_unless_told_how_many_threads(
    workers: int, cores: int, gpus: list[str], threads: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert [one.get("OMP_NUM_THREADS") for one in worker_environments(workers, 0, gpus)] == [threads] * workers
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert worker_environments(workers, 0, gpus) == [{}] * workers


@pytest.mark.parametrize(
    ("workers", "gpus_per_worker", "part"),
    [
        (3, 1, "needs 3 GPUs; there are 2"),
        (None, 4, "needs 4 GPUs"),
        (-1, 1, "workers=-1"),
        (1, -1, "gpus_per_worker=-1"),
    ],
)
def test_more_gpus_than_there_are_is_an_error(workers, gpus_per_worker, part) -> None:
    with pytest.raises(InputError, match=part):
        worker_environments(workers, gpus_per_worker, ["0", "1"])


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A working directory with a file named like each module there is, Python's own, ours and others'; none may run."""
    for name in {*sys.stdlib_module_names, *packages_distributions(), "surgery", "evaluation", "sweeps", "toyworld"}:
        if name.isidentifier():
            (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the {name}.py of the working directory')")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/__init__.py").write_text("raise RuntimeError('the conf of the working directory')")
    (tmp_path / "conf/config.yaml").write_text("nothing: here")
    return tmp_path


@pytest.mark.slow
def test_files_of_the_working_directory_are_never_taken_for_packages(shadows, in_workers, command) -> None:
    ran = command("surgery", *in_workers, "-m", "top_k=4,8", "hydra.launcher.workers=1")
    assert ran.code == 0, ran.err
    assert "[2/2]" in ran.err
    assert "working directory" not in ran.err
    ran = command("sweeps", "status", "tiny-texts")
    assert ran.code == 0, ran.err


def test_nor_by_what_the_commands_start(shadows, monkeypatch) -> None:
    """Python run as a module, as code, and as multiprocessing spawns it."""
    from sweeps.executors.import_path import import_packages_only

    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.chdir(shadows)
    spawn = (
        "import multiprocessing; p = multiprocessing.get_context('spawn').Process(target=print); p.start(); p.join()"
    )
    spawn += "; assert not p.exitcode"
    ways = [("-m", "json.tool", "--help"), ("-c", "import json, surgery, sweeps"), ("-c", spawn)]

    def codes() -> list[int]:
        return [subprocess.run([sys.executable, *way], capture_output=True, check=False).returncode for way in ways]

    assert all(codes())
    import_packages_only()
    assert codes() == [0, 0, 0]
