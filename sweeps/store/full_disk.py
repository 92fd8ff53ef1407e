"""A disk that is full."""

import errno
from pathlib import Path

from surgery.errors import InputError


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one behind it, says that a disk or a quota is full; some libraries only say so in words."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "no space left" in str(error).lower() or "quota exceeded" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(folder: Path) -> InputError:
    """What to say of it: it is no cell's fault, and what is finished is kept."""
    return InputError(
        f"no space is left on the disk of '{folder}': free some ('sweeps store --prune' may help) and give the same "
        "command again; what is finished is kept"
    )
