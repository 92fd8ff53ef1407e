"""The samples a report embeds: base beside edited for the same prompt."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.records.record import SAMPLES
from sweeps.records.samples import read_samples, told_with_scored

# With plotly.js (5 MB) and a thousand cells' numbers (2.5 MB) a page stays below 10 MB.
BUDGET = 2_000_000
# Longer texts, of a whole benchmark question say, are cut; samples.parquet has them whole.
LONGEST = 1_500


@dataclass(frozen=True)
class Samples:
    """Texts of the report half.

    Attributes:
        measurements: {name: {"sample": ids, "prompt": texts, "base": texts, "base_score": numbers}}, said once.
        cells: {cell: {name: {"edited": texts, "edited_score": numbers}}}, aligned with the above.
        left_out: cells that were wanted and are not here: the page would be too large, or their file is missing.
    """

    measurements: dict[str, dict[str, list[Any]]]
    cells: dict[str, dict[str, dict[str, list[Any]]]]
    left_out: list[str]


def embedded_samples(folder: Path, wanted: Sequence[str], budget: int = BUDGET) -> Samples:
    """As many of the wanted cells' samples as fit, the first ones first.

    Where prompts or base differ from an earlier cell's (with another model, say) they are kept as `NAME (CELL)`.

    Args:
        folder: of the sweep.
        wanted: ids of cells that are done, the most wanted first.
        budget: characters in all.
    """
    found = Samples({}, {}, [])
    used = 0
    for cell in wanted:
        if not (folder / cell / SAMPLES).is_file() or used >= budget:
            found.left_out.append(cell)
            continue
        table = told_with_scored(read_samples(folder / cell))
        table = table[(table["half"] == "report") & table["edited"].notna()]
        ours: dict[str, dict[str, list[Any]]] = {}
        for measurement, rows in table.groupby("measurement", sort=False):
            name, columns = str(measurement), _columns(rows, ("sample", "prompt", "base", "base_score"))
            if found.measurements.get(name, columns) != columns:
                name = f"{name} ({cell})"
            if name not in found.measurements:
                found.measurements[name] = columns
                used += _characters(columns["prompt"]) + _characters(columns["base"])
            ours[name] = _columns(rows, ("edited", "edited_score"))
            used += _characters(ours[name]["edited"])
        found.cells[cell] = ours
    return found


def _characters(texts: list[Any]) -> int:
    return sum(len(str(text)) for text in texts)


def _columns(rows: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [_value(value) for value in rows[name]] for name in names}


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"
