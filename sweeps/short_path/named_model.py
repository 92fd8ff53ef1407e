"""The model of a command that names one without a key."""

import re
from difflib import get_close_matches
from pathlib import Path

from surgery.errors import InputError
from surgery.files.local_paths import is_there
from surgery.texts.tables import FORMATS
from sweeps.config.chosen_config import ChosenConfig

USAGE = "surgery MODEL TEXTS.csv PROMPTS.txt KEY=VALUE ..."
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def model_key(name: str, config_dir: str | None) -> str:
    """What chooses a model: `model.path` of a folder, a GGUF file or a hub name, `model` of one of our presets.

    Raises:
        InputError: when it is none of them.
    """
    if is_there(name):
        if Path(name).suffix.lower() in (*FORMATS, ".txt"):
            raise InputError(f"'{name}' is no model; the order is {USAGE}")
        return f"model.path={name}"
    presets = ChosenConfig((), config_dir).options()["model"]
    if name in presets:
        return f"model={name}"
    if _HUB_NAME.fullmatch(name) and Path(name).suffix.lower() != ".gguf":
        return f"model.path={name}"
    near = get_close_matches(name, presets, n=1)
    ours = f"did you mean {near[0]}?" if near else "`surgery --help` lists the names of ours"
    raise InputError(
        f"'{name}' is no KEY=VALUE (keys are set as alpha=2, and what holds spaces as 'KEY=a value'), and no model: no "
        f"folder or file of that name is here, and a hub name is OWNER/NAME; {ours}"
    )
