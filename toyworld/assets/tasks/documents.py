"""Gives lm-eval a task's documents from the file beside the task, whatever the current directory.

lm-eval reads a relative `data_files` from the current directory and has no other way to name a file near the YAML.
The build copies this module into the task folder, where lm-eval looks for `!function documents.load`.
"""

from __future__ import annotations

import json
from pathlib import Path

from datasets import Dataset


def load(file: str, **_: object) -> dict[str, Dataset]:
    """The documents of a JSON-lines file in this module's folder, as lm-eval's `custom_dataset` wants them."""
    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    return {"test": Dataset.from_list([json.loads(line) for line in lines])}
