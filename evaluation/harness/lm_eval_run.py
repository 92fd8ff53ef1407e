"""lm-eval's tasks loaded once a process, and run on a model in memory."""

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.inputs.isolation import preserved_random_state, quiet
from evaluation.measurements.measurement import JSON, UNENDED, Half, Measurement
from surgery.errors import InputError
from surgery.files.hub import cache_where_the_hub_is_silent
from surgery.tokens.framing import framing_of

if TYPE_CHECKING:
    from lm_eval.api.task import Task
    from lm_eval.tasks import TaskManager
    from transformers import PreTrainedTokenizerBase

# lm-eval's own seeds (`simple_evaluate`): some tasks draw their examples with them.
_PYTHON_SEED, _SEED = 0, 1234


@lru_cache(maxsize=1)
def registered_names() -> tuple[str, ...]:
    """Every task, group and tag that comes with lm-eval. The first call scans them for seconds."""
    return tuple(_task_manager(None, ()).all_tasks)


def is_task(name: str) -> bool:
    """Whether a name that comes with lm-eval is that of a task, and not of several."""
    config = _task_manager(None, ()).task_index[name].cfg or {}
    return isinstance(config.get("task"), str)


def task_versions(names: Sequence[str]) -> dict[str, str]:
    """{task: its version} of those that come with lm-eval, groups and tags taken apart; no data is loaded.

    A group has a version of its own, of how its tasks are put together.
    """
    index = _task_manager(None, ()).task_index
    found: dict[str, str] = {}
    left = list(names)
    while left:
        entry = index[left.pop()]
        config = entry.cfg or {}
        if "version" in (metadata := config.get("metadata") or {}):
            found[entry.name] = str(metadata["version"])
        below = config.get("task", []) if entry.cfg else entry.tags
        left += [name for name in below if name in index and name not in found] if not isinstance(below, str) else []
    return dict(sorted(found.items()))


@lru_cache(maxsize=8)
def _task_manager(folder: Path | None, contents: tuple[object, ...]) -> "TaskManager":
    """`contents` is there for the cache: a folder with other contents is another folder."""
    from lm_eval.tasks import TaskManager

    with quiet():
        if folder is None:
            return TaskManager()
        return TaskManager(include_path=str(folder), include_defaults=False)


@lru_cache(maxsize=8)
def load_tasks(
    folder: Path | None,
    contents: tuple[object, ...],
    names: tuple[str, ...],
    num_fewshot: int | None,
    max_new_tokens: int | None = None,
) -> "dict[str, Task]":
    """{task: the task with its data}, groups and tags taken apart.

    Args:
        folder, contents: where names are looked up, and its files' digests; None is lm-eval's own.
        num_fewshot: examples; as in lm-eval, a task that says 0 keeps 0.
        max_new_tokens: most tokens of what is written; None is what the task says.

    Raises:
        InputError: when a task can't be loaded, has no metric that is an average over samples, or writes no text that
            `max_new_tokens` could cut.
    """
    from datasets.exceptions import DatasetsError

    manager = _task_manager(folder, contents)
    tasks: dict[str, Task] = {}
    with cache_where_the_hub_is_silent() as hub_answers:
        for name in names:
            try:
                with _as_lm_eval_runs(progress=False):
                    tasks |= manager.load([name])["tasks"]
            except (OSError, ValueError, LookupError, AttributeError, ImportError, TypeError, DatasetsError) as error:
                raise _not_loaded(name, error, hub_answers) from error
    _require_sentence_splitter(tasks)
    for name, task in tasks.items():
        if not _metrics(task):
            metrics = ", ".join(task.aggregation()) or "none"
            raise InputError(
                f"lm-eval's task '{name}' has no metric that is an average over samples (it has {metrics}); "
                "leave it out"
            )
        said = task.get_config("num_fewshot")
        if num_fewshot is not None and said != 0:
            task.set_config(key="num_fewshot", value=num_fewshot)
        elif said is None:
            task.set_config(key="num_fewshot", value=0)
        if max_new_tokens is not None:
            if task.OUTPUT_TYPE != "generate_until":
                raise InputError(
                    f"max_new_tokens={max_new_tokens}, but lm-eval's task '{name}' has the model write nothing; "
                    "leave it out"
                )
            task.set_config(key="generation_kwargs", value={"max_gen_toks": max_new_tokens}, update=True)
    return tasks


def _require_sentence_splitter(names: Iterable[str]) -> None:
    """IFEval judges by nltk's data, which it tries to fetch and then fails without in the middle of a run."""
    if not (needing := [name for name in names if "ifeval" in name]):
        return
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        raise InputError(
            f"lm-eval's task '{needing[0]}' splits sentences by nltk's punkt_tab, which is not here and could not be "
            "fetched; run `python -m nltk.downloader punkt_tab` where it is to be had, or leave the task out"
        ) from None


def _not_loaded(name: str, error: Exception, hub_answers: bool) -> InputError:
    """What is said of a task that can't be loaded: what is missing where it is not the task's own fault."""
    cause = error.__cause__ or error
    reason = next(iter(f"{type(cause).__name__} {cause}".strip().splitlines()))
    task = f"lm-eval's task '{name}'"
    if isinstance(cause, ConnectionError) and not hub_answers:
        return InputError(
            f"the questions of {task} are not in the cache, and the hub does not answer ({reason}); leave the task "
            "out, fetch them where the hub is to be had, or give a folder of tasks with local files"
        )
    if isinstance(cause, ModuleNotFoundError):
        return InputError(f"{task} needs the package '{cause.name}', which is not installed; pip install {cause.name}")
    return InputError(f"{task} or its data can't be loaded ({reason}); fix it, or leave it out")


@dataclass(frozen=True)
class TaskRun:
    """How tasks are run.

    Attributes:
        half: the measurements are of.
        limit: the first so many questions of each task.
        sampled: so many of each task, the same every time.
        batch_size: requests at once; None is found, see `evaluation.harness.lm_eval_batches`.
        chat: put questions into the chat template.
        max_length: tokens of a request.
        renamed: {task: its name in the results}, where that is another.
    """

    half: Half
    limit: int | None
    sampled: int | None
    batch_size: int | None
    chat: bool
    max_length: int | None
    renamed: Mapping[str, str]


def run_tasks(
    tasks: "Mapping[str, Task]",
    served: AbstractContextManager[tuple[Any, Mapping[str, Mapping[str, JSON]]]],
    tokenizer: "PreTrainedTokenizerBase",
    run: TaskRun,
    progress: bool = False,
) -> dict[str, list[Measurement]]:
    """{name in the results: its measurements, the primary metric's first}.

    Args:
        served: the model as lm-eval takes it, and notes of its batches, see `evaluation.engines.engine.Engine.lm_eval`.
        tokenizer: framed as the model is asked.
    """
    # evaluate and not simple_evaluate, which spends four seconds a call on describing the machine.
    from lm_eval.evaluator import evaluate

    with _as_lm_eval_runs(progress), served as (lm, batches):
        for task in tasks.values():
            task.set_fewshot_seed(seed=_SEED)
        results = evaluate(
            lm=lm,
            task_dict={"tasks": dict(tasks), "groups": {}, "group_map": {}},
            limit=run.limit,
            samples=None if run.sampled is None else {name: _places(name, tasks[name], run.sampled) for name in tasks},
            bootstrap_iters=0,
            system_instruction=framing_of(tokenizer).system if run.chat else None,
            log_samples=True,
            apply_chat_template=run.chat,
            fewshot_as_multiturn=run.chat,
        )
    assert results is not None, "lm-eval gives results on the first process only"
    called = {name: run.renamed.get(name, name) for name in tasks}
    measured = {}
    for name, task in tasks.items():
        samples = results["samples"][name]
        found = _measurements(called[name], task, samples, run.half, batches.get(_requests(task), {}), run.chat)
        if lm.thoughts is not None and _requests(task) == "generate_until":
            found.append(_unended(called[name], found[0], lm.unended))
        measured[called[name]] = found
    return measured


def _unended(name: str, measured: Measurement, unended: Collection[str]) -> Measurement:
    """The share of a task's questions whose thought has not ended."""
    contexts = measured.inputs or ()
    return replace(
        measured,
        name=f"lm_eval/{name}/{UNENDED}",
        scores=np.array([context in unended for context in contexts], dtype=np.float64),
        statistic="mean",
        weights=None,
    )


def _requests(task: "Task") -> str:
    """The kind of request that a task makes."""
    return "loglikelihood" if task.OUTPUT_TYPE == "multiple_choice" else str(task.OUTPUT_TYPE)


def _places(name: str, task: "Task", count: int) -> list[int]:
    """Which questions of a task are taken: drawn by its name alone, so that they never change."""
    total = len(list(task.eval_docs))
    return sorted(random.Random(name).sample(range(total), min(count, total)))


@contextmanager
def _as_lm_eval_runs(progress: bool) -> Iterator[None]:
    """Quiet, seeded as `simple_evaluate` does it, and the caller's random state put back."""
    import torch

    with quiet(progress), preserved_random_state():
        random.seed(_PYTHON_SEED)
        np.random.seed(_SEED)
        torch.manual_seed(_SEED)
        yield


def _metrics(task: "Task") -> dict[str, str]:
    """{metric: how it is aggregated} of those that are an average over samples, in the order of the task's YAML."""
    kinds = {name: getattr(function, "__name__", "") for name, function in task.aggregation().items()}
    return {name: kind for name, kind in kinds.items() if kind in ("mean", "perplexity", "weighted_perplexity")}


def _measurements(
    name: str, task: "Task", samples: Sequence[Mapping[str, Any]], half: Half, batches: Mapping[str, JSON], chat: bool
) -> list[Measurement]:
    chosen = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    prompts = tuple(str(sample["arguments"][0][0]) for sample in chosen)
    made = []
    for metric, kind in _metrics(task).items():
        if metric not in chosen[0]["metrics"]:
            continue
        scores, weights = _scores([sample[metric] for sample in chosen], kind)
        made.append(
            Measurement(
                name=f"lm_eval/{name}/{metric}",
                half=half,
                sample_ids=tuple(f"{sample['doc_id']}-{sample['doc_hash'][:8]}" for sample in chosen),
                scores=scores,
                statistic="mean" if weights is None else "perplexity",
                weights=weights,
                inputs=prompts,
                rendered=prompts if chat else None,
                outputs=tuple(_said(sample) for sample in chosen),
                notes={"filter": chosen[0]["filter"], "num_fewshot": task.get_config("num_fewshot"), **batches},
            )
        )
    if not made:
        raise InputError(f"lm-eval's task '{name}' gave none of its metrics for its first filter; leave it out")
    return made


def _scores(
    values: Sequence[Any], kind: str
) -> tuple["np.typing.NDArray[np.float64]", "np.typing.NDArray[np.float64] | None"]:
    """Scores and weights; lm-eval's perplexities keep log-likelihoods (and words or bytes), ours their negatives."""
    numbers = np.array(values, dtype=np.float64)
    if kind == "weighted_perplexity":
        return -numbers[:, 0], numbers[:, 1]
    return (-numbers, np.ones(len(numbers))) if kind == "perplexity" else (numbers, None)


def _said(sample: Mapping[str, Any]) -> str:
    """The choice of highest likelihood, or the text that was generated, as the filter left it."""
    answers = sample["filtered_resps"]
    if len(answers) > 1 and all(isinstance(answer, tuple | list) for answer in answers):
        likeliest = max(range(len(answers)), key=lambda index: answers[index][0])
        return str(sample["arguments"][likeliest][1])
    return str(answers[0])
