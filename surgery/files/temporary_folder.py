"""Temporary folders that go with their process, however it ends."""

import glob
import os
import platform
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import gettempdir
from types import TracebackType
from weakref import finalize

import psutil


def _machine() -> str:
    """Whose numbers of processes ours are: another host's, or another container's, may be the same."""
    try:
        numbers = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        numbers = "0"
    return f"{platform.node().replace('.', '_')}-{numbers}"


_MACHINE = _machine()
_PREFIX = "surgery-"
# Waits for the end of whoever started it, which closes its input, and removes what is registered with it by then.
# It is nobody's child, since Ray kills those of a worker that ends, and heeds no signal that a scheduler sends to all
# processes of a job, from before whoever started it goes on. Whoever dies with its parent may still write for a moment.
_WAIT_AND_REMOVE = """
import os, shutil, signal, sys, time
for name in ("SIGTERM", "SIGINT", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
if os.fork():
    os._exit(0)
folders = set()
for line in sys.stdin:
    folder = os.fsdecode(bytes.fromhex(line[1:]))
    folders.add(folder) if line[0] == "+" else folders.discard(folder)
for attempt in range(60):
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    if not any(map(os.path.exists, folders)):
        break
    time.sleep(0.5)
"""


class TemporaryFolder:
    """An empty folder for what nobody needs once this process is gone.

    It is removed by `close`, with the object, at the end of the process, and also when the process is killed: a small
    process waits for that. Where that one dies too, with the whole machine or container, the next temporary folder of
    this machine clears up.

    Args:
        purpose: a word for its name.
        parent: where it is made; the system's place for temporary files when None.
    """

    def __init__(self, purpose: str, parent: Path | None = None) -> None:
        # Absolute, since the process that may have to remove it works elsewhere.
        place = os.path.abspath(parent or gettempdir())
        _clear_left(place)
        ours = f"{os.getpid()}-{_start_of(os.getpid())}"
        self._own(Path(place, f"{_PREFIX}{purpose}.{_MACHINE}.{ours}.{secrets.token_hex(8)}"))
        # Registered before it is there: whoever is killed in between leaves nothing.
        try:
            self.path.mkdir(mode=0o700)
        except OSError:
            self.close()
            raise

    @classmethod
    def adopted(cls, path: Path) -> "TemporaryFolder":
        """A folder that a library made, and would leave behind."""
        folder = cls.__new__(cls)
        folder._own(path.absolute())
        return folder

    def _own(self, path: Path) -> None:
        self.path = path
        _caretaker.take(path)
        self._finalizer = finalize(self, _remove, path, os.getpid())

    def close(self) -> None:
        """Removes the folder now."""
        self._finalizer()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _remove(path: Path, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork ends, whose parent still needs the folder
    shutil.rmtree(path, ignore_errors=True)
    _caretaker.drop(path)


def _clear_left(place: str) -> None:
    """Removes the folders of processes of this machine that are gone."""
    for left in glob.glob(os.path.join(glob.escape(place), f"{_PREFIX}*.{glob.escape(_MACHINE)}.*-*.*")):
        process, _, start = left.rsplit(".", 2)[1].partition("-")
        if process.isdecimal() and not (psutil.pid_exists(int(process)) and _start_of(int(process)) == start):
            shutil.rmtree(left, ignore_errors=True)


def _start_of(process: int) -> str:
    """When a process began, in ticks since the machine did: numbers of processes come again. "0" where that isn't told.

    Not by psutil, whose times move when the clock is set.
    """
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "0"
    return told.rpartition(")")[2].split()[19]


class _Caretaker:
    """The process that waits for the end of this one; started with the first folder."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._folders: set[Path] = set()
        os.register_at_fork(after_in_child=self._leave)

    def take(self, folder: Path) -> None:
        """Registers a folder."""
        self._folders.add(folder)
        if not self._tell("+", folder):
            # The first folder, or somebody ended the process.
            self._process = self._start()
            for each in tuple(self._folders):
                self._tell("+", each)

    def drop(self, folder: Path) -> None:
        """Forgets a folder."""
        self._folders.discard(folder)
        self._tell("-", folder)

    @staticmethod
    def _start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WAIT_AND_REMOVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # What ends this process's group, Ctrl-C say, is not for it.
            start_new_session=True,
        )
        process.wait()  # it goes on by itself
        return process

    def _leave(self) -> None:
        """A fork's folders are not its parent's, and an end of the pipe in it would hide that its parent is gone."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        self._folders.clear()

    def _tell(self, sign: str, folder: Path) -> bool:
        """Whether it is there to hear it."""
        if self._process is None or self._process.stdin is None:
            return False
        try:
            # In one piece, since the finalizer of another folder may come between.
            os.write(self._process.stdin.fileno(), f"{sign}{os.fsencode(folder).hex()}\n".encode())
        except OSError:
            return False
        return True


_caretaker = _Caretaker()
