"""Folders that are written whole or not at all."""

import glob
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from surgery.errors import InputError
from surgery.files.whole_files import let_be_read

# Elsewhere on a shared file system another process may have the same number.
_HOST = platform.node().replace(".", "_")


@contextmanager
def folder_written_whole(path: Path, marker: str, kind: str, force: bool = False) -> Iterator[Path]:
    """Gives a new folder beside `path`; it takes the name `path` only when the body ends without an error.

    A process that is killed leaves no `path`, but perhaps hidden folders, which the next one for the same path puts in
    order: what was half written goes, and what was moved out of the way comes back. Its files may be read by whoever
    may read other files made here, see `let_be_read`.

    Args:
        path: absolute.
        marker: the file that every such folder holds; one without it is not replaced, whatever `force` says.
        kind: what such a folder is called, for messages.
        force: replace a folder that is there.

    Raises:
        InputError: when the path is there and may not be replaced, or its folder can't be made.
    """
    _tidy(path)
    if os.path.lexists(path):
        if not force:
            raise InputError(
                f"'{path}' is there already; give another folder, or replace it with --force (force=True in Python)"
            )
        if path.is_symlink() or not (path / marker).is_file():
            raise InputError(f"'{path}' is no {kind}, so it is not replaced; give another folder")
    temporary, old = (path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        raise InputError(f"the folder '{path}' can't be made ({error.strerror}); give another one") from None
    try:
        yield temporary
        # A folder's permissions are the umask's, too.
        for file in temporary.rglob("*"):
            if file.is_file() and not file.is_symlink():
                let_be_read(file, temporary.stat().st_mode)
        if force and path.exists():
            os.rename(path, old)
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _tidy(path: Path) -> None:
    """Puts in order what processes of this machine left that were killed while they wrote `path`."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(_HOST)}-*.*"):
        process, _, end = left.name.removeprefix(f".{path.name}.{_HOST}-").partition(".")
        if not process.isdecimal() or (int(process) != os.getpid() and psutil.pid_exists(int(process))):
            continue
        if end == "old" and not os.path.lexists(path):
            os.rename(left, path)  # killed after it was moved away, and before the new one took its name
        elif end in ("tmp", "old"):
            shutil.rmtree(left, ignore_errors=True)
