from pathlib import Path

import pytest

from sweeps.canonical import canonical_json
from sweeps.store import Store


def test_an_entry_is_made_once_and_found_by_its_content_key(tmp_path: Path) -> None:
    store, made = Store(tmp_path), []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "data").write_text("x")

    first = store.get_or_make("stage", {"b": 1, "a": [1.5]}, make)
    assert store.get_or_make("stage", {"a": [1.5], "b": 1}, make) == first
    assert len(made) == 1
    assert (first / "data").read_text() == "x"
    assert store.get_or_make("stage", {"a": [1.5], "b": 2}, make) != first


def test_an_entry_that_fails_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.get_or_make("stage", {"a": 1}, fail)
    assert not store.has("stage", {"a": 1})
    assert list((tmp_path / "stage").iterdir()) == []


def test_an_entry_that_another_process_finished_meanwhile_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def make(name: str):
        return lambda folder: (folder / "data").write_text(name)

    def slow(folder: Path) -> None:
        store.get_or_make("stage", {"a": 1}, make("other"))
        make("ours")(folder)

    assert (store.get_or_make("stage", {"a": 1}, slow) / "data").read_text() == "other"
    assert len(list((tmp_path / "stage").iterdir())) == 1


def test_what_has_no_one_way_to_be_written_is_refused() -> None:
    assert canonical_json({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
    with pytest.raises(TypeError):
        canonical_json({"a": Path("x")})
