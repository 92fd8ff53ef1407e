"""Several protocols of lm-eval, each a row of a table, and their average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluation.evaluator import metric_names
from evaluation.lm_eval_tasks import LmEval, average_of
from evaluation.measurements.measurement import JSON, Half, Measurement
from surgery.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Benchmarks:
    """Each row is some tasks under one number of examples, and one number: `lm_eval/<row>`.

    A row of several tasks is the mean over tasks of each task's primary metric, as BBH and TydiQA are told; a pooled
    one the mean over all questions, as MMLU is. `lm_eval/average` is the mean of the rows, the paper's "Avg.".

    Attributes:
        rows: {name: protocol}.
        pooled: the rows whose tasks are taken together.
        only: the rows that are run, as a list or with commas between them; None is all.
    """

    rows: Mapping[str, LmEval]
    pooled: Sequence[str] = ()
    only: str | Sequence[str] | None = None

    half: ClassVar[Half] = "report"
    cost: ClassVar[int] = 3
    asks_engine: ClassVar[bool] = True

    def first_look(self) -> None:
        """None: all of it belongs to the report half."""

    def check(self) -> None:
        """Raises InputError for a row that can't be run, and for a pooled one that isn't there."""
        if not self.rows:
            raise InputError("benchmarks have no rows; give {NAME: PROTOCOL}, or leave them out")
        if unknown := sorted(set(self.pooled) - set(self.rows)):
            raise InputError(f"the pooled row '{unknown[0]}' is none of {', '.join(self.rows)}")
        if unknown := [name for name in self._only() if name not in self.rows]:
            raise InputError(f"'{unknown[0]}' is no row of these benchmarks; there are {', '.join(self.rows)}")
        if not self._run():
            raise InputError(f"no row of the benchmarks is to be run; name some of {', '.join(self.rows)}")
        for row in self._run().values():
            row.check()

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """What the rows say; raises InputError."""
        return [said for row in self._run().values() for said in row.check_prompts(model, tokenizer)]

    def prepare(self) -> None:
        """Loads all tasks and their data; raises InputError."""
        for row in self._run().values():
            row.prepare()

    def identity(self) -> dict[str, JSON]:
        """What the rows are."""
        rows: dict[str, JSON] = {name: row.identity() for name, row in self._run().items()}
        pooled: list[JSON] = []
        pooled += sorted(name for name in self.pooled if name in rows)
        return {"kind": "benchmarks", "rows": rows, "pooled": pooled}

    def metric_names(self) -> list[str]:
        """Of the rows, their average, and their tasks; see `evaluation.evaluator.NamesMetrics`."""
        rows = [f"lm_eval/{name}" for name in self._run()]
        return list(dict.fromkeys([*rows, "lm_eval/average", *metric_names(self._run().values())]))

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """Each row, their average, and the metrics of each task; raises InputError."""
        measurements: list[Measurement] = []
        rows: dict[str, Measurement] = {}
        for name, row in self._run().items():
            tasks = row.measure_tasks(model, tokenizer, progress)
            measurements += [one for measured in tasks.values() for one in measured]
            primary = {task: measured[0] for task, measured in tasks.items()}
            whole = replace(average_of(primary, self.half), name=f"lm_eval/{name}")
            pooled = name in self.pooled or len(primary) == 1
            rows[name] = replace(whole, statistic="mean", strata=None) if pooled else whole
        average = average_of({name: as_plain_mean(row) for name, row in rows.items()}, self.half)
        return [*rows.values(), average, *measurements]

    def _run(self) -> dict[str, LmEval]:
        """The rows that are run, in the order of all."""
        return {name: row for name, row in self.rows.items() if self.only is None or name in self._only()}

    def _only(self) -> list[str]:
        given = self.only or ()
        return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)


def as_plain_mean(measurement: Measurement) -> Measurement:
    """The same number as a plain mean: a sample of a stratum of n_s counts N / (S n_s) times, of S strata and N in all.

    So that a mean of rows can be taken of rows that are means over their tasks.
    """
    if measurement.strata is None:
        return measurement
    strata = np.array(measurement.strata)
    sizes = {name: int((strata == name).sum()) for name in dict.fromkeys(measurement.strata)}
    counts = np.array([measurement.n / (len(sizes) * sizes[name]) for name in measurement.strata])
    return replace(measurement, scores=measurement.scores * counts, statistic="mean", strata=None)
