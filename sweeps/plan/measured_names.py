"""Metrics that a rule names, held against what will be measured, before anything is."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from evaluation.evaluator import metric_names
from evaluation.measurements.measurement import UNENDED
from sweeps.records.choice import Choice
from sweeps.records.metric_names import nearest_metrics

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator

# Of every probe that is fitted, and of its loss where `evaluation.probe_loss` asks for it.
ACCURACIES = ("probe/train_accuracy", "probe/test_accuracy")
LOSSES = ("probe/loss_avoided", "probe/loss_other")


def unmeasured(named: Mapping[str, str], evaluators: "Mapping[str, Evaluator]", probe_loss: bool) -> str | None:
    """One sentence on the first metric that no evaluator of a cell gives, with those there are; None where all are.

    Args:
        named: {what names it, as a person would type it: metric}.
        evaluators: of the cell.
        probe_loss: whether the probe's loss is measured too.
    """
    known = [*metric_names(evaluators.values()), *ACCURACIES, *(LOSSES if probe_loss else ())]
    for key, metric in named.items():
        if not any(fnmatchcase(metric, pattern) for pattern in known):
            # Where nothing is thought, none is left unended.
            there = nearest_metrics(metric, [name for name in known if f"/{UNENDED}" not in name])
            return f"{key} asks for {metric}, which is not measured here; what is measured is {there}"
    return None


def named_by(choice: Choice) -> dict[str, str]:
    """{what names it: metric} of the rule that `evaluation.choose` holds."""
    goal = f"evaluation.choose.{'minimize' if choice.lowest else 'maximize'}"
    return {goal: choice.metric, **{f"evaluation.choose.where=[{one}]": one.name for one in choice.where}}
