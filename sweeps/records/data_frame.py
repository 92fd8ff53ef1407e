"""A sweep as a pandas frame."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.records.record import Record, result_columns, result_rows
from sweeps.records.sweep import Sweep

if TYPE_CHECKING:
    import pandas as pd


def load(name: str, output_dir: str | Path = "outputs") -> "pd.DataFrame":
    """The finished cells of a sweep: the columns and order of results.csv, made from the records, with types.

    Args:
        name: the sweep, as `sweeps list` names it.
        output_dir: the folder that `surgery` wrote to.

    Returns:
        One row a cell, indexed by its id (`cell`). Numbers of metrics are float64 with NaN for what was not
        measured, `NAME/n` is Int64, keys have the type they were composed with.

    Raises:
        InputError: when there is no such sweep, or none of its cells is done.
    """
    sweep = Sweep.named(name, Path(output_dir))
    sweep.some_done()
    return _frame_of(sweep.records)


def _frame_of(records: list[Record]) -> "pd.DataFrame":
    """The frame of some records; those that are not done are left out."""
    import pandas as pd

    rows = result_rows(records)
    texts = {"protocol", *(key for record in records for key in record.keys)}
    frame = pd.DataFrame(rows, columns=result_columns(rows)).set_index("cell")
    types = {column: "Int64" if column.endswith("/n") else "float64" for column in frame.columns if column not in texts}
    return frame.astype(types)
