"""The tiny world of tests/sweeps on a real SLURM and a real Ray, both on this machine."""

import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[1] / "sweeps"
_spec = importlib.util.spec_from_file_location("tests_of_sweeps", SWEEPS / "conftest.py")
assert _spec is not None and _spec.loader is not None
_shared: Any = importlib.util.module_from_spec(_spec)
sys.modules["tests_of_sweeps"] = _shared
_spec.loader.exec_module(_shared)
world = _shared.world
vllm_python = _shared.vllm_python

SLURM = Path(__file__).with_name("slurm.sh")
SURGERY = Path(sys.executable).parent / "surgery"
LAUNCHER = {
    "slurm": ["hydra/launcher=resident_slurm", "hydra.launcher.jobs=2"],
    "ray": ["hydra/launcher=resident_ray"],
    "here": ["hydra.launcher.workers=0"],
}


def free_pair() -> int:
    """A port that nobody listens on, as nobody does on the next: another SLURM, left by tests that were killed, may."""
    for port in range(26817, 27817, 2):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("", port))
                second.bind(("", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports from 26817 to 27816 are free")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A SLURM of one node, for the time of the tests."""
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SLURM, "install"], check=True)
    # Its daemons keep the descriptors they get: a pipe would never end.
    with open(folder / "start.log", "w") as log:
        ports = {**os.environ, "SLURM_TEST_PORT": str(free_pair())}
        started = subprocess.run([SLURM, "start", folder], check=False, stdout=log, stderr=log, timeout=900, env=ports)
    assert started.returncode == 0, (folder / "start.log").read_text()
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield
    subprocess.run([SLURM, "stop", folder], check=True, timeout=900)
    del os.environ["SLURM_CONF"]


@pytest.fixture(params=["slurm", "ray"])
def cluster(request: pytest.FixtureRequest) -> str:
    """Each kind of cluster in turn."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return str(request.param)


@pytest.fixture(scope="session")
def module_path() -> str:
    """Where processes look for the measurements of tests/sweeps, beside what they look for anyway."""
    return os.pathsep.join(filter(None, (str(SWEEPS), os.environ.get("PYTHONPATH"))))


@pytest.fixture
def start(world: Any, tmp_path: Path, module_path: str) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `surgery` on the tiny world in a process group of its own, as a terminal does."""
    started: list[subprocess.Popen[str]] = []

    def run(kind: str, *arguments: str) -> "subprocess.Popen[str]":
        base = [f"model.path={world.model}", f"behavior.path={world.texts}", "tracking=none"]
        if not any("evaluation" in argument for argument in arguments):
            base.append(f"evaluation.text={world.text}")
        process = subprocess.Popen(
            [str(SURGERY), "-m", *LAUNCHER[kind], *base, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": module_path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def run(start: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., tuple[int, str]]:
    """Runs `surgery` on the tiny world; the exit code, and what it said."""

    def call(kind: str, *arguments: str) -> tuple[int, str]:
        process = start(kind, *arguments)
        out, err = process.communicate(timeout=900)
        return process.returncode, err + out

    return call
