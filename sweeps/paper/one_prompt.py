"""What the models of a table say to one prompt (Table 10)."""

from collections.abc import Mapping
from pathlib import Path

from sweeps.paper.table import PaperTable
from sweeps.records.record import SAMPLES, Record
from sweeps.records.samples import read_samples


def continuations(table: PaperTable, rows: Mapping[str, Record], folder: Path) -> tuple[str, dict[str, str]]:
    """One prompt, and its continuation by row.

    The prompt is the first of the report half that the unedited model continues as the metric looks for (a score of
    0.5 at least), else the first: the same whatever the edits did.

    Args:
        table: with `continuations`, the metric.
        rows: our cells by the row's name.
        folder: of the sweep, with their samples.
    """
    found: dict[str, str] = {}
    prompt, sample = "", None
    for row in table.rows:
        record = table.record(row, rows)
        if record is None or not (folder / record.cell / SAMPLES).is_file():
            continue
        every = read_samples(folder / record.cell)
        told = every[(every["measurement"] == table.continuations) & (every["half"] == "report")]
        if told.empty:
            continue
        if sample is None:
            first = told[told["base_score"] >= 0.5]
            sample = (told if first.empty else first)["sample"].iloc[0]
        one = told[told["sample"] == sample]
        if not one.empty:
            prompt = str(one["prompt"].iloc[0])
            found[row.name] = str(one["base" if row.is_base else "edited"].iloc[0])
    return prompt, found
