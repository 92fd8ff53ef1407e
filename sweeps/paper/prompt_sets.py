"""The prompts of a cell's measurements, as the model was given them: of its behavior, and of its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from surgery.errors import InputError
from surgery.tokens.chat import in_chat_template
from sweeps.records.choice import Choice
from sweeps.records.record import Record
from sweeps.records.recorded_generation import generations
from sweeps.records.samples import read_samples

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

# A behavior is told by its prompts where the sweep's rule does not name one of these.
BEHAVIOR_METRICS = (
    *("toxicity/toxic_rate", "jailbreak/refusal_rate", "attitude/positive_rate", "attitude/negative_rate"),
    "toxigen/toxic_rate",
)
# At most so many prompts of a set, evenly spaced; more kinds of tasks than so many are one set.
MOST_PROMPTS, MOST_TASKS = 100, 8


@dataclass(frozen=True)
class PromptSet:
    """Prompts of one kind, from the report half.

    Attributes:
        name: `toxicity`, or a benchmark's.
        kind: whether they call for the behavior, or are a task's.
        prompts: distinct, as in samples.parquet.
        chat: they were put into the chat template; a task's prompts are recorded with theirs.
    """

    name: str
    kind: Literal["behavior", "task"]
    prompts: tuple[str, ...]
    chat: bool = False

    def written(self, tokenizer: "PreTrainedTokenizerBase") -> tuple[list[str], bool]:
        """The texts as the model was given them, and whether the tokenizer adds its special tokens.

        Raises:
            InputError: when the tokenizer has no chat template any more.
        """
        if self.chat:
            return in_chat_template(tokenizer, self.prompts, answer_follows=True), False
        start = str(tokenizer.bos_token or "")
        # As lm-eval does with what a chat template began.
        begun = self.kind == "task" and bool(start) and all(prompt.startswith(start) for prompt in self.prompts)
        return list(self.prompts), not begun


def behavior_prompts(record: Record, cell_folder: Path, config: Mapping[str, Any]) -> PromptSet:
    """The prompts whose continuations tell the behavior: of the metric the cell was chosen by, or the first measured.

    Raises:
        InputError: when the cell measured no behavior, or samples.parquet can't be read.
    """
    samples = _samples(cell_folder)
    rule = Choice.of((config.get("evaluation") or {}).get("choose"))
    first = [rule.metric] if rule else []
    candidates = [name for name in (*first, *BEHAVIOR_METRICS) if name in BEHAVIOR_METRICS]
    for metric in candidates:
        prompts = _distinct(samples, [metric])
        if prompts:
            name = metric.partition("/")[0]
            return PromptSet(name, "behavior", tuple(evenly(prompts, MOST_PROMPTS)), _in_chat(config, name))
    raise InputError(
        f"cell {record.cell} measured no behavior ({', '.join(BEHAVIOR_METRICS)}), and figure 2 takes its prompts; run "
        "it with an evaluation that has prompts"
    )


def task_prompts(record: Record, cell_folder: Path) -> list[PromptSet]:
    """The prompts of each benchmark: a row of a protocol with its tasks together, else a task; many are one set.

    Raises:
        InputError: when the cell measured no task, or samples.parquet can't be read.
    """
    samples = _samples(cell_folder)
    names = [name for name in dict.fromkeys(samples["measurement"]) if str(name).startswith("lm_eval/")]
    row_of = _rows(samples, names)
    sets: dict[str, list[str]] = {}
    for name in names:
        task = name.split("/")[1]
        found = _distinct(samples, [name])
        kept = sets.setdefault(row_of.get(task, task), [])
        kept += [prompt for prompt in found if prompt not in set(kept)]
    sets = {name: prompts for name, prompts in sets.items() if prompts}
    if not sets:
        raise InputError(
            f"cell {record.cell} measured no task (lm_eval/*), and figure 2 takes its prompts; run it with an "
            "evaluation that has tasks"
        )
    if len(sets) > MOST_TASKS:
        share = -(-MOST_PROMPTS // len(sets))
        sets = {f"{len(sets)} tasks": [prompt for prompts in sets.values() for prompt in evenly(prompts, share)]}
    return [PromptSet(name, "task", tuple(evenly(prompts, MOST_PROMPTS))) for name, prompts in sets.items()]


def evenly(values: Sequence[str], most: int) -> list[str]:
    """At most so many of the values, evenly spaced, the first among them."""
    return list(values) if len(values) <= most else [values[index * len(values) // most] for index in range(most)]


def _samples(cell_folder: Path) -> "pd.DataFrame":
    """Measurement, sample and prompt of the report half."""
    table = read_samples(cell_folder, ["measurement", "half", "sample", "prompt"])
    return table[table["half"] == "report"]


def _distinct(samples: "pd.DataFrame", names: Sequence[str]) -> list[str]:
    prompts = samples.loc[samples["measurement"].isin(names), "prompt"].dropna()
    return [prompt for prompt in dict.fromkeys(map(str, prompts)) if prompt.strip()]


def _rows(samples: "pd.DataFrame", names: Sequence[str]) -> dict[str, str]:
    """{task: the row of the protocol that it is part of}: a row's samples are named TASK/SAMPLE."""
    found: dict[str, str] = {}
    for name in names:
        row = name.removeprefix("lm_eval/")
        if "/" not in row and row != "average":
            of_row = cast("Sequence[str]", samples.loc[samples["measurement"] == name, "sample"])
            found |= {str(sample).rpartition("/")[0]: row for sample in of_row}
    return found


def _in_chat(config: Mapping[str, Any], name: str) -> bool:
    """Whether the prompts of a behavior were put into the chat template, as the evaluator says that continued them."""
    measurements = (config.get("evaluation") or {}).get("measurements") or {}
    named = (one for one in measurements.values() if isinstance(one, Mapping))
    judged = [one for one in named if name in (one.get("scorers") or {})]
    found = {bool(node.get("chat")) for node in generations(measurements.get(name) or judged or measurements)}
    if len(found) > 1:
        raise InputError(f"the measurements of '{name}' used the chat template for some prompts and not for others")
    return found.pop() if found else bool((config.get("model") or {}).get("chat"))
