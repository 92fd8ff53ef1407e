"""A recorded cell planned again from its config.yaml, as if it were to be run now."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from surgery.files.local_paths import names_a_file, names_a_folder
from sweeps.config.composition import Composed
from sweeps.config.foreign_code import foreign_code
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.planner import plan_cell
from sweeps.records.sweep import require_config

# What the files of texts, prompts, scorers and probes end with.
SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl", ".json", ".parquet", ".ckpt", ".pt", ".safetensors")


class NotHere(Exception):
    """What the cell was made from is not on this machine, or may not be run."""


def replan(cell_folder: Path, materials: Materials, trust_code: bool = False) -> Experiment:
    """The experiment that a cell's recorded config means today; its cell's id tells whether it is the same.

    Args:
        cell_folder: with the config.yaml.
        materials: texts and models read before, for cells that share them.
        trust_code: let the config name code that is not ours.

    Raises:
        NotHere: when a file that it names is missing, or it asks for code that is not ours.
        InputError: when the config can't be planned.
    """
    values = require_config(cell_folder)
    if not trust_code and (code := foreign_code(values)):
        raise NotHere(f"its config runs code that is not ours ({', '.join(code)}); if you trust it, say --trust-code")
    if missing := _missing(values):
        raise NotHere(f"'{missing}' is not here")
    changed = {"tracking": {"kind": "none"}, "dry_run": False, "suggest": False, "strict": False}
    return plan_cell(Composed({**values, **changed}, ()), materials)


def _missing(values: Mapping[str, Any]) -> str | None:
    """The first file or folder that the config names and that is not there."""
    try:
        model, behavior = str(values["model"]["path"]), str(values["behavior"]["path"])
        probe, pairs = values["probe"].get("path"), values["method"].get("pairs")
        measured = list(_texts(values["evaluation"]["measurements"]))
    except (KeyError, TypeError, AttributeError):
        return None  # planning says what is wrong with it
    needed = [
        behavior,
        *(str(path) for path in (probe, pairs) if path),
        *([model] if names_a_folder(model) or names_a_file(model) else []),
    ]
    needed += [str(path) for path in values.get("composition", [])]
    needed += [text for text in measured if _names_a_file(text)]
    return next((path for path in needed if not Path(path).expanduser().exists()), None)


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, Mapping):
        values = list(values.values())
    if isinstance(values, list):
        for value in values:
            yield from _texts(value)
    elif isinstance(values, str):
        yield values


def _names_a_file(text: str) -> bool:
    return text.startswith(("/", "~", "./", "../")) or Path(text).suffix.lower() in SUFFIXES
