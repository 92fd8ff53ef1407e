"""A terminal of another alphabet, and a pipe whose reader has left, cost no command its end."""

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.terminal.output import NEAREST, speak_plainly


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Makes stdout a file in an encoding; gives back what was written there."""

    def open_in(encoding: str) -> Path:
        file = open(tmp_path / "out", "w", encoding=encoding)  # noqa: SIM115
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        return tmp_path / "out"

    return open_in


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r", "shift_jis", "utf-8"])
@given(text=st.text(max_size=20) | st.text("→†×┃─▏Δα…é日😀\udce4", max_size=20))
def test_any_text_can_be_said_in_any_encoding(encoding: str, text: str) -> None:
    said = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    sys.stdout, kept = said, sys.stdout
    try:
        speak_plainly()
        print(text)
        sys.stdout.flush()
    finally:
        sys.stdout = kept
    shown = said.buffer.getvalue().decode(encoding)
    assert all(sign in shown for sign in text if sign.isascii() and sign.isprintable())


def test_signs_of_tables_are_shown_by_what_comes_nearest(spoken) -> None:
    out = spoken("latin-1")
    speak_plainly()
    print("0.7 → 0.1 † × é Ł ő 日 ┃")
    sys.stdout.flush()
    assert out.read_bytes().decode("latin-1") == "0.7 -> 0.1 + × é ? o ? |\n"
    assert all(sign.isascii() for sign in NEAREST.values())


def test_a_sweep_ends_with_its_table_and_report_where_the_output_is_not_utf8(
    surgery, arguments, tmp_path, spoken
) -> None:
    from sweeps.commands.surgery_command import main

    out = spoken("ascii")
    sys.argv = ["surgery", *arguments, "-m", "alpha=2,3", "top_k=8", "sweep=s"]
    main()
    sys.stdout.flush()
    said = out.read_text("ascii")
    assert "->" in said and "report:" in said
    assert (tmp_path / "outputs/runs/s/report.html").is_file()


@pytest.mark.parametrize("buffered", [True, False])
def test_what_is_said_to_nobody_is_no_error(monkeypatch: pytest.MonkeyPatch, buffered: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    place = io.FileIO(writer, "w")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(
        sys, "stdout", io.TextIOWrapper(io.BufferedWriter(place) if buffered else place, write_through=not buffered)
    )
    speak_plainly()
    for _ in range(3):
        print("x" * 100_000, flush=True)
    assert sys.stdout.fileno() == writer


def test_a_closed_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    speak_plainly()
    print("nobody reads this")
    assert sys.stdout is not None
    sys.stdout.close()
