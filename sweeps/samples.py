"""Base beside edited, sample by sample: samples.parquet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from surgery.files import written_whole

if TYPE_CHECKING:
    from evaluation.measurement import Measurement

COLUMNS = (
    "measurement",
    "half",
    "sample",
    "prompt",
    "base",
    "edited",
    "base_score",
    "edited_score",
    "weight",
    "stratum",
)


def write_samples(path: Path, base: "Sequence[Measurement]", edited: "Sequence[Measurement]") -> None:
    """One row for each sample of each measurement; `base` and `edited` hold what the two models said.

    `weight` (tokens of a window) and `stratum` are what makes the one number of a measurement out of its scores.
    """
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
                    "weight": after.weights,
                    "stratum": after.strata,
                },
                columns=list(COLUMNS),
            )
        )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    with written_whole(path) as temporary:
        table.to_parquet(temporary, index=False)
