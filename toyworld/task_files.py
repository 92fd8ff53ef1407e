"""Writes the tasks as lm-eval reads them: a YAML and a JSON-lines file each, in one folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from toyworld import documents
from toyworld.tasks import Document

COMMON = {
    "custom_dataset": "!function documents.load",
    "test_split": "test",
    "num_fewshot": 0,
    "doc_to_text": "{{question}}",
}
MULTIPLE_CHOICE = COMMON | {
    "output_type": "multiple_choice",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{choices.index(answer)}}",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
RECALL = COMMON | {
    "output_type": "generate_until",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["."], "max_gen_toks": 4, "do_sample": False},
    # The words before the full stop arrive with the space that parted them from it.
    "filter_list": [
        {
            "name": "trimmed",
            "filter": [{"function": "regex", "regex_pattern": r"^\s*(.*?)\s*$"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


class _Function(str):
    """A name that YAML has to carry with lm-eval's `!function` tag."""


yaml.SafeDumper.add_representer(
    _Function, lambda dumper, name: dumper.represent_scalar("!function", str(name).removeprefix("!function "))
)


def task_config(name: str, recall: bool) -> dict[str, object]:
    """A task's YAML. A selection task includes the task that it is the other half of."""
    own: dict[str, object] = {"task": name, "dataset_kwargs": {"file": f"{name}.jsonl"}}
    whole = name.removesuffix("_selection")
    if whole != name:
        return {"include": f"{whole}.yaml"} | own
    shared = dict(RECALL if recall else MULTIPLE_CHOICE)
    shared["custom_dataset"] = _Function(shared["custom_dataset"])
    return own | shared | {"metadata": {"version": 1.0}}


def write_tasks(tasks: dict[str, list[Document]], folder: Path) -> None:
    """Write every task's YAML and documents into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(documents.__file__, folder / "documents.py")
    for name, drawn in tasks.items():
        config = task_config(name, recall=not drawn[0].choices)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        rows = [{"question": one.question, "answer": one.answer} | _choices(one) for one in drawn]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _choices(document: Document) -> dict[str, list[str]]:
    return {"choices": list(document.choices)} if document.choices else {}
