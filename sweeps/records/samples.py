"""Base beside edited, sample by sample: samples.parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError
from surgery.files.whole_files import written_whole
from sweeps.records.metric import key_of
from sweeps.records.record import SAMPLES

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.measurements.measurement import Half, Measurement

COLUMNS = (
    *("measurement", "half", "sample", "prompt", "base", "edited", "base_score", "edited_score"),
    # What makes one number of the scores: a perplexity's tokens a window; the task, in an average over tasks.
    *("weight", "stratum"),
    # The prompt as the model was shown it, where that is something else: in the chat template, or cut.
    "rendered",
    # What of `base` and `edited` was scored, where that is something else: without the model's thoughts.
    *("base_scored", "edited_scored"),
    # What the edited model was shown, where it is that which was edited.
    "edited_rendered",
)


def write_samples(path: Path, base: "Sequence[Measurement]", edited: "Sequence[Measurement]") -> None:
    """One row for each sample of each measurement; `base` and `edited` hold what the two models said."""
    import numpy as np
    import pandas as pd

    parts = []
    for before, after in zip(base, edited, strict=True):
        parts.append(
            pd.DataFrame(
                {
                    "measurement": before.name,
                    "half": before.half,
                    "sample": before.sample_ids,
                    "prompt": before.inputs,
                    "base": before.outputs,
                    "edited": after.outputs,
                    "base_score": before.scores,
                    "edited_score": after.scores,
                    "weight": np.full(before.n, np.nan) if before.weights is None else before.weights,
                    "stratum": before.strata,
                    "rendered": before.rendered,
                    "base_scored": before.scored,
                    "edited_scored": after.scored,
                    "edited_rendered": None if after.rendered == before.rendered else after.rendered,
                },
                columns=list(COLUMNS),
            )
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    with written_whole(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_samples(cell_folder: Path, columns: "Sequence[str] | None" = None) -> "pd.DataFrame":
    """The samples of a cell, or some columns of them; raises InputError when they are not there or can't be read."""
    import pandas as pd

    path = cell_folder / SAMPLES
    try:
        return pd.read_parquet(path, columns=None if columns is None else list(columns))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"'{path}' can't be read as samples: {error}") from None


def told_with_scored(samples: "pd.DataFrame") -> "pd.DataFrame":
    """The samples for a person: what was scored before the whole of what a model wrote, where that is not all of it."""
    told = samples.copy()
    for column in ("base", "edited"):
        if (scored := f"{column}_scored") in told:
            rows = told[scored].notna()
            told.loc[rows, column] = [
                f"scored: {text or '(nothing)'}\n{whole}"
                for text, whole in zip(told.loc[rows, scored], told.loc[rows, column], strict=True)
            ]
    return told


def edited_measurements(cell_folder: Path) -> "dict[str, Measurement]":
    """What was measured on the edited model, by what its metric is called in a record."""
    found: dict[str, Measurement] = {}
    for keys, rows in read_samples(cell_folder).groupby(["measurement", "half"], sort=False):
        name, half = cast("tuple[str, Half]", keys)
        found[key_of(name, half)] = measurement(name, half, rows, "edited_score")
    return found


def measurement(name: str, half: "Half", rows: "pd.DataFrame", score: str) -> "Measurement":
    """Rows of one measurement as what was measured; files of before `weight` and `stratum` give plain means.

    Args:
        rows: with the columns `sample`, `score`, and the others where there are any.
        score: `base_score` or `edited_score`.
    """
    import numpy as np

    weights, strata, inputs = (_given(rows, column) for column in ("weight", "stratum", "prompt"))
    return Measurement(
        name=name,
        half=half,
        sample_ids=tuple(rows["sample"]),
        scores=rows[score].to_numpy(float),
        statistic="perplexity" if weights else "mean_of_means" if strata else "mean",
        weights=np.array(weights, dtype=float) if weights else None,
        strata=strata,
        inputs=inputs,
    )


def _given(rows: "pd.DataFrame", column: str) -> tuple[Any, ...] | None:
    """A column's values, where the measurement has them."""
    return tuple(rows[column]) if column in rows and rows[column].notna().all() else None
