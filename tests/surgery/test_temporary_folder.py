"""Temporary folders go with their process: real processes, ended in every way there is."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from surgery import load_model
from surgery.files.temporary_folder import TemporaryFolder
from tools.tiny_models import tiny_model

HOLDS = """
import os, signal, sys, time
from surgery.files.temporary_folder import TemporaryFolder
one, other = TemporaryFolder("one"), TemporaryFolder("other")
(one.path / "file").write_text("something")
other.close()
print(one.path, flush=True)
"""
LOADS = """
import sys, time
from surgery import load_model
model, _ = load_model(sys.argv[1], dtype="float32", device={"": "disk"})
print("loaded", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for temporary files of the test's own."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def started() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts Python and waits for its first line."""
    processes = []

    def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def emptied(folder: Path) -> bool:
    """Whether nothing is in the folder within some seconds."""
    until = time.monotonic() + 20
    while any(folder.iterdir()) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(folder.iterdir())


ENDS = [
    "pass",
    "sys.exit(3)",
    "raise ValueError",
    "os._exit(0)",
    "os.abort()",
    *(f"os.kill(os.getpid(), signal.{name})" for name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")),
    "os.killpg(0, signal.SIGKILL)",
]


@pytest.mark.parametrize("end", ENDS)
def test_a_folder_goes_with_its_process(end, started, place) -> None:
    started(HOLDS + end).wait()
    assert emptied(place)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(("make", "write", "close", "forget", "fork")), max_size=12),
    st.sampled_from([end for end in ENDS if "SIG" in end or "_exit" in end]),
)
@example(steps=["make", "fork", "make"], end="os.killpg(0, signal.SIGKILL)")
def test_whatever_was_made_and_closed_before_nothing_is_left(started, place, steps, end) -> None:
    code = ["import os, signal, time", "from surgery.files.temporary_folder import TemporaryFolder", "folders = []"]
    does = {
        "make": "folders.append(TemporaryFolder('one'))",
        "write": "[(one.path / 'file').write_text('something') for one in folders if one.path.exists()]",
        "close": "folders and folders[0].close()",
        "forget": "del folders[:1]",
        "fork": "os.fork() or (TemporaryFolder('of a fork'), os.kill(os.getpid(), signal.SIGKILL))",
    }
    started("\n".join([*code, *(does[step] for step in steps), "print('made', flush=True)", end])).wait()
    assert emptied(place)


def test_a_folder_made_in_a_relative_place_goes_too(started, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    in_here = HOLDS.replace('TemporaryFolder("one")', 'TemporaryFolder("one", Path("here"))')
    started("from pathlib import Path\n" + in_here + "os.kill(os.getpid(), signal.SIGKILL)").wait()
    assert emptied(tmp_path / "here")


def test_a_folder_that_a_library_made_goes_too_though_all_processes_of_the_job_are_told_to_end(started, place) -> None:
    adopts = (
        "import tempfile, time\nfrom pathlib import Path\nfrom surgery.files.temporary_folder import TemporaryFolder\n"
    )
    adopts += "kept = TemporaryFolder.adopted(Path(tempfile.mkdtemp()))\nprint(kept.path, flush=True)\ntime.sleep(600)"
    process = started(adopts)
    for job in [one for one in psutil.process_iter(["environ"]) if one.pid != os.getpid()]:
        if (job.info["environ"] or {}).get("TMPDIR") == str(place):
            job.terminate()
    process.wait()
    assert emptied(place)


def test_a_fork_neither_takes_its_parents_folder_along_nor_keeps_it(started, place) -> None:
    ends = "child = os.fork()\nif not child: sys.exit()\nos.waitpid(child, 0)\nassert one.path.exists()\n"
    outlives = "child = os.fork()\nif not child: time.sleep(600)\nprint(child, flush=True)\n"
    process = started(HOLDS + ends + outlives + "os.kill(os.getpid(), signal.SIGKILL)")
    child = int(process.stdout.readline())
    process.wait()
    assert emptied(place)
    os.kill(child, signal.SIGKILL)


def test_a_folder_lives_as_long_as_its_process_and_what_is_left_goes_with_the_next(started, place) -> None:
    process = started(HOLDS + "time.sleep(600)")
    [left] = place.iterdir()
    with TemporaryFolder("mine") as mine:
        assert left.exists()
        assert mine.exists()
    for other in [other for other in psutil.process_iter(["environ"]) if other.pid not in (os.getpid(), process.pid)]:
        if (other.info["environ"] or {}).get("TMPDIR") == str(place) and other.ppid() != os.getpid():
            other.kill()
    process.kill()
    process.wait()
    assert [path.name for path in place.iterdir()] == [left.name]
    # Another process that has the number by now is told from it by its start.
    host, number, rest = left.name.rsplit(".", 2)
    (place / f"{host}.{os.getpid()}-1.{rest}").mkdir()
    (place / "surgery-of-somebody-else").mkdir()
    assert number.startswith(f"{process.pid}-")
    with TemporaryFolder("mine") as mine:
        assert {path.name for path in place.iterdir()} == {mine.name, "surgery-of-somebody-else"}


def test_a_model_that_fits_makes_no_folder(folder, place) -> None:
    model, _ = load_model(str(folder), device="cpu")
    assert not any(place.iterdir())
    del model


def test_what_is_read_from_the_models_own_files_needs_no_folder(folder, place) -> None:
    model, _ = load_model(str(folder), device={"": "disk"})
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    assert not any(place.iterdir())


@pytest.mark.slow
def test_what_is_written_anew_lies_there_as_long_as_the_model_and_no_longer(
    tokenizer, started, place, tmp_path
) -> None:
    tokenizer.save_pretrained(tmp_path / "mixtral")
    tiny_model("mixtral").save_pretrained(tmp_path / "mixtral")
    model, _ = load_model(str(tmp_path / "mixtral"), dtype="float32", device={"": "disk"})
    assert list(place.rglob("*.safetensors"))
    with torch.no_grad():
        model(torch.tensor([[3, 4]]))
    del model
    gc.collect()  # accelerate's hooks and the model hold each other
    assert emptied(place)
    process = started(LOADS, str(tmp_path / "mixtral"))
    assert list(place.rglob("*.safetensors"))
    process.kill()
    assert emptied(place)
