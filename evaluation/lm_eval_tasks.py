"""Benchmark tasks by lm-eval."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from evaluation.engines.engine import engine_of
from evaluation.harness.lm_eval_run import TaskRun, is_task, load_tasks, registered_names, run_tasks, task_versions
from evaluation.harness.task_folder import TaskFolder, read_task_folder
from evaluation.inputs.named_files import file_digest
from evaluation.measurements.measurement import JSON, Half, Measurement
from surgery.errors import InputError
from surgery.tokens.chat import require_template

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LmEval:
    """One protocol of lm-eval: some tasks under one number of examples and one limit.

    Attributes:
        tasks: a folder of YAML (every task in it); or names of tasks, groups and tags, as a list or separated by
            commas; or {name in the results: task} where that should differ.
        folder: where names are looked up, instead of among those that come with lm-eval.
        limit: the first so many questions of each task.
        sampled: so many questions of each task instead, spread over it and the same every time.
        metric: the primary one; None is the first of a task's YAML.
        num_fewshot: examples before each question; None is what the task says. As in lm-eval, a task that says 0
            keeps 0.
        batch_size: requests at once; `auto` is the token budget found from the model and its device, by the longest
            request. It is not lm-eval's own `auto`, which tries what the free memory takes.
        chat: put questions into the tokenizer's chat template, examples as turns.
        trust_task_code: run the Python that a folder's YAML names (`!function`).
        half: of the measurements.
        average: also measure `lm_eval/average`.
        max_length: most tokens of a question with its examples; None is the model's maximum.
        max_new_tokens: most tokens of an answer that is written; None is what the task says.
        versions: name the version of each task in the protocol; lm-eval's own, which tells them, always is.
    """

    tasks: str | Path | Sequence[str] | Mapping[str, str]
    folder: str | Path | None = None
    limit: int | None = None
    num_fewshot: int | None = None
    batch_size: int | Literal["auto"] = "auto"
    chat: bool = False
    trust_task_code: bool = False
    half: Half = "report"
    average: bool = True
    max_length: int | None = None
    sampled: int | None = None
    metric: str | None = None
    max_new_tokens: int | None = None
    versions: bool = False

    cost: ClassVar[int] = 3
    asks_engine: ClassVar[bool] = True

    def first_look(self) -> Self | None:
        """Itself on the selection half."""
        return self if self.half == "selection" else None

    def check(self) -> None:
        """Reads the folder, or looks the names up (which takes lm-eval seconds).

        Raises:
            InputError: when a task isn't there (gives the nearest name), the folder can't be read, it holds code that
                was not trusted, or a setting can't be used.
        """
        for name, value, least in (
            ("limit", self.limit, 1),
            ("sampled", self.sampled, 1),
            ("num_fewshot", self.num_fewshot, 0),
            ("batch_size", self._batch_size(), 1),
            ("max_length", self.max_length, 2),
            ("max_new_tokens", self.max_new_tokens, 1),
        ):
            if value is not None and value < least:
                raise InputError(f"lm-eval's {name} is {value}; it has to be {least} or more")
        if self.limit is not None and self.sampled is not None:
            raise InputError(f"lm-eval's limit={self.limit} and sampled={self.sampled} exclude each other; give one")
        wanted = self._names()
        found = self._read_folder()
        known = registered_names() if found is None else (*found.tasks, *found.groups)
        place = "lm-eval" if found is None else f"'{self._folder()}'"
        for name in wanted:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"the nearest name is '{near[0]}'" if near else "see `lm-eval ls tasks` or give a folder"
                raise InputError(f"'{name}' is no task of {place} and no folder; {hint}")

    def check_prompts(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """Tries the chat template; see `evaluation.evaluator.ShowsPrompts`. The questions are not read yet."""
        if self.chat:
            require_template(tokenizer, answer_follows=True, key="model.chat")
        return []

    def prepare(self) -> None:
        """Loads the tasks and their data; raises InputError."""
        self._loaded()

    def identity(self) -> dict[str, JSON]:
        """The tasks, a folder's whole content, the data they name, the settings and lm-eval's version."""
        found = self._read_folder()
        data = () if found is None else found.data_files
        return {
            "kind": "lm_eval",
            "tasks": list(self._names()),
            "renamed": dict(self._renamed()),
            "folder": None if found is None else dict(found.digests),
            "data_files": [file_digest(path) for path in data],
            "limit": self.limit,
            "num_fewshot": self.num_fewshot,
            "batch_size": self.batch_size,
            "chat": self.chat,
            "half": self.half,
            "average": self.average,
            "max_length": self.max_length,
            "lm_eval": version("lm_eval"),
            **({} if self.sampled is None else {"sampled": self.sampled}),
            **({} if self.metric is None else {"metric": self.metric}),
            **({} if self.max_new_tokens is None else {"max_new_tokens": self.max_new_tokens}),
            **({"versions": dict(task_versions(self._names()))} if self.versions and found is None else {}),
        }

    def metric_names(self) -> list[str]:
        """A pattern a task: which metrics it has is known with its data. See `evaluation.evaluator.NamesMetrics`."""
        found, renamed = self._read_folder(), self._renamed()
        # A group or a tag is measured by its tasks' names.
        alone = [name in found.tasks if found is not None else is_task(name) for name in self._names()]
        tasks = [f"lm_eval/{renamed.get(name, name)}/*" for name in self._names()] if all(alone) else ["lm_eval/*/*"]
        return [*tasks, *["lm_eval/average"] * self.average]

    def measure(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> list[Measurement]:
        """`lm_eval/<task>/<metric>` for each metric that is an average over samples, one filter a task.

        `lm_eval/average` is the mean over tasks of each task's primary metric, the first of its YAML.

        Raises:
            InputError: see `check` and `check_prompts`; or when a task's data can't be loaded, when it has no such
                metric, and for a question with a token that the model has no embedding of.
        """
        tasks = self.measure_tasks(model, tokenizer, progress)
        measurements = [measurement for measured in tasks.values() for measurement in measured]
        primary = {name: measured[0] for name, measured in tasks.items() if measured[0].statistic == "mean"}
        if self.average and primary:
            measurements.append(average_of(primary, self.half))
        return measurements

    def measure_tasks(
        self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", progress: bool = False
    ) -> dict[str, list[Measurement]]:
        """{task: its metrics, the primary one first}; raises InputError, see `measure`."""
        run = TaskRun(
            half=self.half,
            limit=self.limit,
            sampled=self.sampled,
            batch_size=self._batch_size(),
            chat=self.chat,
            max_length=self.max_length,
            renamed=self._renamed(),
        )
        served = engine_of(model, tokenizer).lm_eval(run, progress)
        tasks = run_tasks(self._loaded(), served, tokenizer, run, progress)
        return {name: self._primary_first(name, measured) for name, measured in tasks.items()}

    def _batch_size(self) -> int | None:
        """None where it is found; raises InputError for what is neither a number nor `auto`."""
        if self.batch_size == "auto":
            return None
        if not isinstance(self.batch_size, int):
            raise InputError(f"lm-eval's batch_size is {self.batch_size!r}; it has to be a number or auto")
        return self.batch_size

    def _primary_first(self, task: str, measured: list[Measurement]) -> list[Measurement]:
        if self.metric is None:
            return measured
        wanted = f"lm_eval/{task}/{self.metric}"
        if wanted not in (one.name for one in measured):
            told = ", ".join(one.name.rpartition("/")[2] for one in measured)
            raise InputError(f"lm-eval's task '{task}' has no metric '{self.metric}'; it has {told}")
        return sorted(measured, key=lambda one: one.name != wanted)

    def _loaded(self) -> "dict[str, Task]":
        found = self._read_folder()
        contents = () if found is None else tuple(found.digests.items())
        return load_tasks(self._folder(), contents, self._names(), self.num_fewshot, self.max_new_tokens)

    def _folder(self) -> Path | None:
        if self.folder is not None:
            return Path(self.folder).expanduser()
        if isinstance(self.tasks, str | Path) and _is_folder(self.tasks):
            return Path(self.tasks).expanduser()
        return None

    def _names(self) -> tuple[str, ...]:
        """The tasks, groups and tags to run."""
        if isinstance(self.tasks, Mapping):
            names = tuple(self.tasks.values())
        elif not isinstance(self.tasks, str | Path):
            names = tuple(self.tasks)
        elif self.folder is None and _is_folder(self.tasks):
            return read_task_folder(self.tasks).tasks
        else:
            names = tuple(name.strip() for name in str(self.tasks).split(",") if name.strip())
        if not names:
            raise InputError("lm-eval has no tasks to run; give a folder or names, or leave lm-eval out")
        return names

    def _renamed(self) -> dict[str, str]:
        return {task: name for name, task in self.tasks.items()} if isinstance(self.tasks, Mapping) else {}

    def _read_folder(self) -> TaskFolder | None:
        folder = self._folder()
        if folder is None:
            return None
        found = read_task_folder(folder)
        if found.runs_code is not None and not self.trust_task_code:
            raise InputError(
                f"'{found.runs_code}' names Python code to run (!function); "
                "if you trust it, set trust_task_code=true, else give a folder without such code"
            )
        return found


def average_of(primary: Mapping[str, Measurement], half: Half) -> Measurement:
    """`lm_eval/average`: the mean over tasks of each task's mean, from {task: its primary metric}."""
    parts = [(name, measurement) for name, measurement in primary.items()]
    return Measurement(
        name="lm_eval/average",
        half=half,
        sample_ids=tuple(f"{name}/{sample}" for name, measurement in parts for sample in measurement.sample_ids),
        scores=[score for _, measurement in parts for score in measurement.scores],  # type: ignore[arg-type]
        statistic="mean_of_means",
        strata=tuple(name for name, measurement in parts for _ in measurement.sample_ids),
        notes={"metrics": [measurement.name for _, measurement in parts]},
    )


def _is_folder(tasks: str | Path) -> bool:
    """Whether one text means a folder: it is there, or it is written like a path."""
    return isinstance(tasks, Path) or Path(tasks).is_dir() or any(mark in tasks for mark in ("/", "\\", "~"))
