"""The log of a sweep, and the commands that a sweep ends with."""

import logging
import shlex
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.terminal.summary import show_commands
from sweeps.terminal.sweep_log import LOG, sweep_log


@pytest.fixture
def root_level():
    level = logging.getLogger().level
    yield logging.getLogger().setLevel
    logging.getLogger().setLevel(level)


def said(folder: Path) -> list[str]:
    return [line.split(" ", 2)[2] for line in (folder / LOG).read_text().splitlines()]


def test_a_sweeps_log_holds_its_command_what_was_said_and_how_it_ended(tmp_path: Path, monkeypatch, root_level) -> None:
    root_level(logging.WARNING)
    monkeypatch.setattr("sys.argv", ["/bin/surgery", "alpha=1", "sweep=a b"])
    ours = logging.getLogger("sweeps.terminal.progress")
    with pytest.raises(ValueError, match="luck"), sweep_log(tmp_path / "new"):
        ours.info("a cell ended")
        ours.debug("a detail")
        logging.getLogger("other").warning("of a library")
        logging.getLogger("other").info("too much")
        raise ValueError("out of luck")
    ours.info("after it")
    first, *rest = said(tmp_path / "new")
    assert first.endswith("surgery alpha=1 'sweep=a b'")
    assert rest == [
        "INFO sweeps.terminal.progress: a cell ended",
        "WARNING other: of a library",
        "ERROR sweeps.terminal.sweep_log: ended by ValueError: out of luck",
    ]
    with sweep_log(tmp_path / "new"):
        pass
    assert len(said(tmp_path / "new")) == 5


def test_verbose_logs_everything_and_shows_our_details(surgery, arguments, tmp_path: Path, root_level) -> None:
    ran = surgery(*arguments, "top_k=24", "evaluation.text=null", "hydra.verbose=true")
    assert ran.code == 0, ran.err
    [log] = (tmp_path / "outputs" / "runs").glob("*/surgery.log")
    [cell] = log.parent.glob("*/result.json")
    assert f"{cell.parent.name} top_k=24 alpha=1.0: probe took" in ran.err
    text = log.read_text()
    assert "hydra.verbose=true" in text
    assert "DEBUG filelock:" in text
    assert "filelock" not in ran.err
    # The end of a command of one cell, with where the records are.
    assert f"sweeps ask {log.parent.name} {cell.parent.name}" in ran.out.splitlines()[-2]


def test_the_commands_at_the_end_can_be_typed_as_they_are(made_sweep: Path, sweeps, monkeypatch) -> None:
    def shown(folder: Path) -> list[list[str]]:
        console = Console(file=StringIO(), width=60)
        show_commands(["c2-8"], folder, console)
        return [shlex.split(line) for line in console.file.getvalue().splitlines()[1:]]

    far = shown(made_sweep)
    assert [words[:3] for words in far] == [["sweeps", kind, "made"] for kind in ("samples", "ask", "export")]
    assert far[0][-2:] == ["--output-dir", str(made_sweep.parents[1])]
    assert sweeps(*far[0][1:]).code == 0
    monkeypatch.chdir(made_sweep.parents[2])
    near = shown(Path("outputs/runs/made"))
    assert near[2] == ["sweeps", "export", "made", "c2-8", "made-c2-8"]
    assert sweeps(*near[0][1:]).out == sweeps(*far[0][1:]).out
