"""What a sweep survives: processes killed, disks full or read-only, files damaged, clocks that jump."""

import csv
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

GRID = ("-m", "alpha=-1,1", "top_k=4,8")
SWEEP = Path("runs") / "tiny-texts"
SURGERY = str(Path(sys.executable).parent / "surgery")


def table(output_dir: Path) -> list[dict[str, str]]:
    """results.csv without the columns that may differ between runs."""
    with open(output_dir / SWEEP / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]


def size(folder: Path) -> int:
    """Bytes that a folder takes on a disk of 4 KiB blocks."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "share", [0.4, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.02, 0.2, 0.6, 0.8, 0.95))]
)
def test_a_full_disk_is_said_and_costs_only_the_cell_in_flight(share, surgery, arguments, disk, tmp_path) -> None:
    """At every point of a sweep: while hidden states, a probe, measurements or records are written."""
    assert surgery(*arguments, *GRID).code == 0
    whole = tmp_path / "outputs"
    # It comes after all cells have ended; see below.
    next(whole.glob("runs/*/report.html")).unlink()
    small = disk(f"size={max(8192, int(size(whole) * share))}")
    ran = surgery(*arguments, *GRID, f"output_dir={small}")
    assert ran.code == 1
    assert "no space" in ran.err.splitlines()[-1]
    assert ran.err.splitlines()[-1].startswith("surgery: ")
    assert "Traceback" not in ran.err
    disk("size=64m")
    assert surgery(*arguments, *GRID, f"output_dir={small}").code == 0
    assert table(small) == table(whole)
    assert not list(small.glob("**/*.tmp"))


@pytest.mark.slow
def test_a_disk_too_full_for_the_page_keeps_every_cell_and_says_so(surgery, arguments, disk, tmp_path) -> None:
    assert surgery(*arguments, *GRID).code == 0
    whole = tmp_path / "outputs"
    next(whole.glob("runs/*/report.html")).unlink()
    small = disk(f"size={size(whole) + 2**20}")
    ran = surgery(*arguments, *GRID, f"output_dir={small}")
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1].startswith("no report was written: ")
    assert table(small) == table(whole)
    assert not list(small.glob("**/*.tmp"))


def test_a_read_only_disk_is_refused_before_anything_runs(surgery, arguments, disk) -> None:
    place = disk("size=64m")
    assert surgery(*arguments, *GRID, f"output_dir={place}").code == 0
    disk("ro")
    for more in ((), ("seed=1",)):
        ran = surgery(*arguments, *GRID, *more, f"output_dir={place}")
        assert ran.code == 1
        assert len(ran.err.splitlines()) == 1
        assert "can't be written to" in ran.err


CHECKED = ("config.yaml", "edit.safetensors", "samples.parquet")


@pytest.mark.parametrize("name", ["result.json", *(pytest.param(one, marks=pytest.mark.slow) for one in CHECKED)])
def test_a_flipped_bit_in_a_record_is_noticed_and_its_cell_run_again(name, surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, *GRID).code == 0
    before = table(tmp_path / "outputs")
    damaged = sorted((tmp_path / "outputs" / SWEEP).glob(f"*/{name}"))[2]
    whole = damaged.read_bytes()
    place = len(whole) // 2
    damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    ran = surgery(*arguments, *GRID)
    assert ran.code == 0, ran.err
    assert damaged.parent.name in ran.err
    assert name in ran.err
    assert "3 of 4 cells are finished already" in ran.err
    assert table(tmp_path / "outputs") == before


@pytest.mark.slow
def test_a_clock_that_was_moved_back_changes_nothing(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, "-m", "alpha=-1", "top_k=4,8").code == 0
    tomorrow = time.time() + 86_400
    for path in (tmp_path / "outputs").rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    ran = surgery(*arguments, *GRID)
    assert ran.code == 0, ran.err
    assert "2 of 4 cells are finished already" in ran.err
    assert surgery(*arguments, *GRID, "output_dir=other").code == 0
    assert table(tmp_path / "outputs") == table(tmp_path / "other")


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_no_result(surgery, arguments, tmp_path) -> None:
    grid = ["-m", "alpha=-3,-2,-1,1,2,3", "top_k=4,8,12,16"]
    in_workers = [argument for argument in arguments if "hydra.launcher" not in argument]
    moments = random.Random(0)
    finished = []
    for _ in range(20):
        process = subprocess.Popen(
            [SURGERY, *in_workers, *grid, "output_dir=killed"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        # Half of the moments lie anywhere from the start on, half soon after a cell has ended.
        if moments.random() < 0.5:
            time.sleep(moments.uniform(0.0, 14.0))
        else:
            assert process.stderr is not None
            next((line for line in process.stderr if line.startswith("[")), None)
            time.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        finished.append(len(list((tmp_path / "killed").glob(f"{SWEEP}/*/result.json"))))
        # Its worker ends by itself; the next command need not wait for that.
    assert finished == sorted(finished)
    last = subprocess.run([SURGERY, *in_workers, *grid, "output_dir=killed"], cwd=tmp_path, check=False)
    assert last.returncode == 0
    assert surgery(*arguments, *grid, "output_dir=undisturbed").code == 0
    assert len(table(tmp_path / "killed")) == 24
    assert table(tmp_path / "killed") == table(tmp_path / "undisturbed")
    assert not list((tmp_path / "killed").glob("**/*.tmp"))


def test_a_cell_whose_record_was_deleted_is_run_again(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, *GRID).code == 0
    before = table(tmp_path / "outputs")
    shutil.rmtree(sorted((tmp_path / "outputs" / SWEEP).glob("*/result.json"))[0].parent)
    ran = surgery(*arguments, *GRID)
    assert ran.code == 0
    assert "3 of 4 cells are finished already" in ran.err
    assert table(tmp_path / "outputs") == before
