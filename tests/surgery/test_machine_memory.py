"""What a process may hold, from control groups as the kernel shows them."""

import os
from pathlib import Path

import pytest

from surgery.machine import machine_memory
from surgery.machine.machine_memory import group_limits


def made(root: Path, own: str, limits: dict[str, str]) -> list[int]:
    """The limits found where files say so."""
    (root / "own").write_text(own)
    for name, said in limits.items():
        file = root / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{said}\n")
    return group_limits(root / "own", root / "groups")


def test_version_2_and_the_groups_above(tmp_path: Path) -> None:
    limits = {"a/b/memory.max": "max", "a/memory.max": "4000000000", "memory.max": "max", "other/memory.max": "5"}
    assert made(tmp_path, "0::/a/b\n", limits) == [4_000_000_000]


def test_version_1_beside_other_controllers(tmp_path: Path) -> None:
    own = "5:cpu,cpuacct:/x\n4:hugetlb,memory:/job/step\n1:name=systemd:/\n0::/\n"
    limits = {
        "memory/job/step/memory.limit_in_bytes": "3000000000",
        "memory/job/memory.limit_in_bytes": "2000000000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "cpu/x/memory.limit_in_bytes": "7",
    }
    assert sorted(made(tmp_path, own, limits)) == [2_000_000_000, 3_000_000_000, 9_223_372_036_854_771_712]


def test_in_a_container_the_group_that_is_seen_counts(tmp_path: Path) -> None:
    assert made(tmp_path, "0::/docker/abc\n", {"memory.max": "1000000"}) == [1_000_000]
    assert group_limits(tmp_path / "missing", tmp_path) == []


def test_the_least_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limits, expected in (([], whole), ([2**62], whole), ([123, 456], 123)):
        monkeypatch.setattr(machine_memory, "group_limits", lambda *_, limits=limits: limits)
        assert machine_memory.machine_memory() == expected
