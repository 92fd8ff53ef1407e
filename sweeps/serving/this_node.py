"""Whose servers are ours: those that listen where we ask, and whose processes we see."""

import os
import platform
from hashlib import sha256
from pathlib import Path

from sweeps.cell.canonical_json import canonical_json

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_node() -> str:
    """A name for what shares 127.0.0.1, numbers of processes, and what a scheduler ends with a job.

    The folder of temporary files may be on a file system that several machines share, or containers of one: a file
    there that names an address of 127.0.0.1 is of no use to another of them, and a number of a process is another's.
    SLURM ends whatever a job has started with that job, so that another job of the same machine can't rely on it.
    """
    spaces = [_told_by(f"/proc/self/ns/{kind}") for kind in ("net", "pid")]
    boot = _BOOT.read_text(encoding="ascii").strip() if _BOOT.is_file() else ""
    who = [platform.node(), boot, *spaces, os.environ.get("SLURM_JOB_ID")]
    return sha256(canonical_json(who).encode()).hexdigest()[:16]


def _told_by(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:  # not Linux
        return ""
