from pathlib import Path

import pytest

from surgery.errors import InputError
from sweeps.cell.canonical_json import canonical_json
from sweeps.store.store import Store


def writes(text: str, made: list[str] | None = None):
    def make(folder: Path) -> None:
        if made is not None:
            made.append(text)
        (folder / "data").write_text(text)

    return make


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    return Store(tmp_path / "store", said.append)


def visible(store: Store) -> list[str]:
    """Everything in the store but the locks."""
    found = (path.relative_to(store.root) for path in store.root.glob("*/*"))
    return sorted(str(path) for path in found if path.name != ".locks")


def test_an_entry_is_made_once_and_found_by_its_content_key(store: Store) -> None:
    made: list[str] = []
    first = store.get_or_make("stage", {"b": 1, "a": [1.5]}, writes("x", made))
    assert store.get_or_make("stage", {"a": [1.5], "b": 1}, writes("x", made)) == first
    assert Store(store.root).get_or_make("stage", {"a": [1.5], "b": 1}, writes("x", made)) == first
    assert made == ["x"]
    assert (first / "data").read_text() == "x"
    assert store.get_or_make("stage", {"a": [1.5], "b": 2}, writes("x", made)) != first
    assert visible(store) == sorted(
        [store.name("stage", {"a": [1.5], "b": 1}), store.name("stage", {"a": [1.5], "b": 2})]
    )


def test_an_entry_that_fails_while_it_is_made_leaves_nothing(store: Store) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        store.get_or_make("stage", {"a": 1}, fail)
    assert not store.has("stage", {"a": 1})
    assert visible(store) == []


def test_every_bit_of_an_entry_counts(store: Store, said: list[str]) -> None:
    place = store.get_or_make("stage", {"a": 1}, writes("some data"))
    whole = {path.name: path.read_bytes() for path in place.iterdir()}
    assert set(whole) == {"data", "identity.json"}
    for name, content in whole.items():
        for bit in range(0, 8 * len(content), 3):
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            (place / name).write_bytes(changed)
            assert Store(store.root).find("stage", {"a": 1}) is None, (name, bit)
        (place / name).write_bytes(content)
    assert Store(store.root).find("stage", {"a": 1}) == place
    assert said == []


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "remove", "remove identity", "cut identity", "foreign"])
def test_a_damaged_entry_is_named_and_made_again(store: Store, said: list[str], how: str) -> None:
    place = store.get_or_make("stage", {"a": 1}, writes("some data"))
    whole = {path.name: path.read_bytes() for path in place.iterdir()}
    data, identity = place / "data", place / "identity.json"
    if how == "flip":
        data.write_bytes(b"some dbta")
    elif how in ("cut", "empty"):
        data.write_bytes(b"some" if how == "cut" else b"")
    elif how == "remove":
        data.unlink()
    elif how == "remove identity":
        identity.unlink()
    elif how == "cut identity":
        identity.write_bytes(whole["identity.json"][:20])
    else:
        other = store.get_or_make("stage", {"a": 2}, writes("some data"))
        identity.write_bytes((other / "identity.json").read_bytes())
    made: list[str] = []
    fresh = Store(store.root, said.append)
    assert fresh.get_or_make("stage", {"a": 1}, writes("some data", made)) == place
    assert made == ["some data"]
    assert {path.name: path.read_bytes() for path in place.iterdir()} == whole
    [line] = said
    assert store.name("stage", {"a": 1}) in line
    assert ("identity.json" in line) == ("identity" in how or how == "foreign")
    assert fresh.get_or_make("stage", {"a": 1}, writes("some data", made)) == place
    assert len(made) == len(said) == 1


def test_an_entry_pruned_or_spoilt_while_it_is_read_is_made_again(store: Store) -> None:
    made: list[str] = []
    store.get_or_make("stage", {"a": 1}, writes("x", made))
    asked = []

    def load(folder: Path) -> str:
        asked.append(folder)
        if len(asked) == 1:
            with store.lock(folder):
                Store(store.root).take_away(folder)
        return (folder / "data").read_text()

    assert store.use("stage", {"a": 1}, writes("x", made), load) == "x"
    assert made == ["x", "x"]


def test_what_a_reader_itself_gets_wrong_is_not_swallowed(store: Store) -> None:
    def load(folder: Path) -> str:
        raise InputError("no such thing")

    with pytest.raises(InputError, match="no such thing"):
        store.use("stage", {"a": 1}, writes("x"), load)


def test_what_has_no_one_way_to_be_written_is_refused() -> None:
    assert canonical_json({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
    with pytest.raises(TypeError):
        canonical_json({"a": Path("x")})
