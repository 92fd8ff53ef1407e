"""The table of families in docs/models.md, made from what the locator finds in a tiny model of each.

python -m tools.families docs/models.md
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.rows.layouts import Layout, gated_units, weight_of
from surgery.rows.locator import COMPONENTS, decoder_blocks, locate
from tools.tiny_models import FAMILIES, tiny_model

BEGIN, END = "<!-- families: python -m tools.families docs/models.md -->", "<!-- /families -->"


def families_table() -> str:
    """Markdown: one line a family, with where its gates lie and which components it has."""
    lines = ["| `model_type` | class | the gate lies in | other components |", "|---|---|---|---|"]
    for family in FAMILIES:
        model = tiny_model(family)
        others = [component.removesuffix("_proj") for component in COMPONENTS[1:] if _has(model, component)]
        told = ", ".join(others) if len(others) < len(COMPONENTS) - 1 else "all"
        lines.append(f"| `{family}` | {type(model).__name__} | {_gates(model)} | {told} |")
    return "\n".join(lines)


def with_table(page: str, table: str) -> str:
    """A page with the table between its two marks; raises InputError for a page that has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(f"the page has no place for the table; put '{BEGIN}' and '{END}' into it")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _has(model: PreTrainedModel, component: str) -> bool:
    try:
        return bool(locate(model, component))
    except InputError:
        return False


def _gates(model: PreTrainedModel) -> str:
    found: dict[str, None] = {}
    for block in decoder_blocks(model):
        for _, module, layout in gated_units(block):
            found[_told(module, layout)] = None
    return "; ".join(found)


def _told(module: nn.Module, layout: Layout) -> str:
    weight = weight_of(module, layout.gate)
    assert weight is not None, "layouts fit modules that have their matrices"
    told = [layout.order.value] if layout.gate == layout.up else []
    if weight.dim() == 3:
        told.append("experts [E, in, out]" if layout.transposed else "experts [E, out, in]")
    return f"`{layout.gate}`" + (f" ({', '.join(told)})" if told else "")


def main(arguments: Sequence[str]) -> None:
    """Writes the table into the given pages, or to the terminal."""
    table = families_table()
    for path in arguments:
        page = Path(path)
        page.write_text(with_table(page.read_text(encoding="utf-8"), table), encoding="utf-8")
    if not arguments:
        print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
