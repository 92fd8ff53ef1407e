"""What is no sweep, cell or entry of the store is never told as one, and never removed."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweeps.records.record import LOCKS, Record, cell_folders, sweep_folders
from sweeps.store.store import Store
from sweeps.store.store_pruning import entries

CELL = "0123456789ab"
# What lies about in folders that people work in.
STRAY = ("figures", LOCKS, ".ipynb_checkpoints", "notes", "0123456789abcd", "0123456789AB", "backup of it", ".DS_Store")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep with a finished cell and one that was cut off, and what lies about there and beside it."""
    runs = tmp_path / "outputs" / "runs"
    (runs / "s" / CELL).mkdir(parents=True)
    Record(CELL, "done", keys={"alpha": 1}).save(runs / "s" / CELL)
    (runs / "s" / "feedfeedfeed").mkdir()
    for name in STRAY:
        (runs / "s" / name).mkdir()
        (runs / name).mkdir()
        (runs / name / "picture.png").write_bytes(b"")
    return runs / "s"


def test_status_and_list_show_cells_and_sweeps_alone(sweeps, sweep: Path) -> None:
    output = str(sweep.parent.parent)
    status = sweeps("status", "s", "-o", output)
    assert (status.code, status.out.splitlines()[:2]) == (0, ["1 done", "1 running or cut off: feedfeedfeed"])
    listed = sweeps("list", "-o", output)
    assert not [name for name in STRAY if name in listed.out]
    for command in ("status", "report", "best", "verify"):
        refused = sweeps(command, "figures", "-o", output)
        assert (refused.code, refused.err) == (1, "sweeps: no sweep is called 'figures'; there are s\n")


def test_a_sweep_that_has_no_finished_cell_yet_is_there(sweeps, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "runs" / "s" / LOCKS).mkdir(parents=True)
    ran = sweeps("status", "s", "-o", str(tmp_path / "outputs"))
    assert (ran.code, ran.out) == (0, "no finished cell\n")


NAMES = st.text("0123456789abcdefAB.-_ figures", min_size=1, max_size=16).filter(lambda name: name.strip(". ") == name)


@given(st.sets(NAMES | st.from_regex(r"\A[0-9a-f]{12}\Z"), max_size=6), st.sets(NAMES, max_size=3))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_folder_is_a_cell_by_its_record_or_its_id(tmp_path_factory, others: set[str], finished: set[str]) -> None:
    folder = tmp_path_factory.mktemp("runs") / "s"
    for name in {*others, *finished}:
        (folder / name).mkdir(parents=True)
    for name in finished:
        Record(name, "done").save(folder / name)
    cut_off = {name for name in others if re.fullmatch(r"[0-9a-f]{12}", name)}
    assert {place.name for place in cell_folders(folder)} == finished | cut_off
    assert [place.name for place in sweep_folders(folder.parent)] == (["s"] if finished | cut_off else [])


def test_the_store_shows_and_prunes_its_own_entries_alone(sweeps, tmp_path: Path) -> None:
    store = Store(tmp_path / "outputs" / "store")
    place = store.get_or_make("probe", {"a": 1}, lambda folder: None)
    for name in STRAY:
        (store.root / "probe" / name).mkdir(exist_ok=True)
        (store.root / name / name).mkdir(parents=True)
    assert [entry.name for entry in entries(store.root, {})] == [f"probe/{place.name}"]
    assert sweeps("store", "--prune", "-o", str(tmp_path / "outputs")).code == 0
    assert not place.exists()
    assert all((store.root / "probe" / name).is_dir() and (store.root / name / name).is_dir() for name in STRAY)
