"""The presets of models are what docs/models.md says, and edit the paper's share of the rows."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import conf

PRESETS = Path(conf.__file__).parent / "model"
PAGE = Path(conf.__file__).parent.parent / "docs" / "models.md"
NOT_ON_THE_HUB = {"toyworld", "toyworld-chat", "local"}
# What the paper edits, and what any default comes from (Table 14).
PAPER_ROWS, PAPER_LAYERS, PAPER_WIDTH = 16_384, 32, 11_008


def told() -> dict[str, list[str]]:
    """{preset: the cells of its line}, from the first table of the page."""
    lines = PAGE.read_text(encoding="utf-8").split("## ")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    return {name.strip("`"): rest for name, *rest in cells if name != "`model=`"}


def test_the_page_lists_every_preset() -> None:
    assert set(told()) == {path.stem for path in PRESETS.glob("*.yaml")} - NOT_ON_THE_HUB


@pytest.mark.parametrize("name", sorted(told()))
def test_a_preset_is_as_the_page_says(name: str) -> None:
    model: dict[str, Any] = yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))["model"]
    path, dtype, chat, layers, rows, top_k = told()[name]
    assert model["name"] == name
    assert (model["path"], model["dtype"], model["chat"]) == (path, dtype, chat == "yes")
    assert model["top_k"] == int(top_k.replace(",", ""))
    total = int(layers) * int(rows.split()[0].replace(",", ""))
    assert model["top_k"] == round(PAPER_ROWS * total / (PAPER_LAYERS * PAPER_WIDTH))


def test_the_papers_model_has_the_papers_number() -> None:
    model = yaml.safe_load((PRESETS / "llama2-7b.yaml").read_text(encoding="utf-8"))["model"]
    assert model["top_k"] == PAPER_ROWS
