"""How much memory a process of this machine may hold: what is built in, or what its control group is given."""

import os
from pathlib import Path

_ITS_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def machine_memory() -> int:
    """Bytes: the machine's, or the least that a control group allows this process, as a container or SLURM sets it."""
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *group_limits(_ITS_GROUPS, _GROUPS)])


def group_limits(own: Path, mounted: Path) -> list[int]:
    """The memory limits, in bytes, of a process's control groups and of all above them; version 1 and 2.

    Args:
        own: the process's groups, a line `number:controllers:path` each; none where it is missing. Version 2 names no
            controllers.
        mounted: where the groups lie. In a container a path may begin outside of it; the groups that are seen count.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []  # not Linux
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (mounted / "memory", "memory.limit_in_bytes") if controllers else (mounted, "memory.max")
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            limits += _limit(folder / name)
    return limits


def _limit(file: Path) -> list[int]:
    """What a file says; nothing where it is missing or says `max`."""
    try:
        said = file.read_text().strip()
    except OSError:
        return []
    # Version 1 says a number beyond any machine's memory where there is no limit.
    return [int(said)] if said.isdecimal() else []
