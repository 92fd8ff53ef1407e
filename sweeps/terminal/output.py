"""What the commands say gets out whatever it is said to: another alphabet, or a pipe whose reader has left."""

import codecs
import io
import os
import sys
import unicodedata
from typing import Any

HANDLER = "nearest"
# What a terminal without the sign is shown, where its letters without their accents would not do.
NEAREST = {
    "→": "->",
    "←": "<-",
    "†": "+",
    "×": "x",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "·": ".",
    "•": "*",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "Δ": "d",
    "α": "alpha",
    "ℓ": "l",
    "‖": "||",
    "“": '"',
    "”": '"',
    "„": '"',
    "‘": "'",
    "’": "'",
    "│": "|",
    "┃": "|",
    "║": "|",
    "─": "-",
    "━": "-",
    "═": "-",
}


def nearest(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: what can't be written is shown by what comes nearest in ASCII, else by `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_nearest, error.object[error.start : error.end])), error.end


def _nearest(character: str) -> str:
    if character in NEAREST:
        return NEAREST[character]
    if "\u2500" <= character <= "\u259f":
        return "+" if character < "\u2580" else "#"  # corners of boxes; blocks of bars
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or "?"


class _Descriptor(io.FileIO):
    """A place to write to; once its reader has left, what is written goes nowhere, and the command goes on."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        # Which would close the descriptor as it goes.
        self._stream = stream

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(memoryview(data).cast("B"))


def speak_plainly() -> None:
    """Lets stdout and stderr of this process take any text, and outlive their readers."""
    codecs.register_error(HANDLER, nearest)
    sys.stdout = _forgiving(sys.stdout)
    sys.stderr = _forgiving(sys.stderr)


def _forgiving(stream: Any) -> Any:
    if stream is None:  # closed by whoever started the command
        return open(os.devnull, "w", encoding="utf-8")
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # under PYTHONUNBUFFERED there is nothing between
    if type(raw) is io.FileIO:
        stream.flush()
        place = _Descriptor(stream)
        return io.TextIOWrapper(
            place if buffer is raw else io.BufferedWriter(place),
            encoding=stream.encoding,
            errors=HANDLER,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=HANDLER)
    return stream
