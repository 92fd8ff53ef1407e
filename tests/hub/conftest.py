"""A hub on the loopback for each test, and commands that take it for the real one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from hub_server import Hub, hub_server

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as hub:
        yield hub


@pytest.fixture
def against_hub(hub: Hub, tmp_path: Path) -> Callable[..., Ran]:
    """Runs Python in a process of its own, as the libraries read their settings when they are imported.

    Nothing of this machine's own settings, logins or caches is seen there.
    """
    work = tmp_path / "work"
    work.mkdir()

    def run(*arguments: str, **settings: str) -> Ran:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment |= {
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "*",
            "PYTHONPATH": str(ROOT),
        }
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=work,
            env={**environment, **settings},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def surgery(against_hub: Callable[..., Ran]) -> Callable[..., Ran]:
    """Runs `surgery ARGUMENTS` against the hub; the libraries don't wait between their tries."""
    code = "import time; time.sleep = lambda _: None; from sweeps.commands.surgery_command import main; main()"

    def run(*arguments: str, **settings: str) -> Ran:
        return against_hub("-c", code, *arguments, **settings)

    return run
