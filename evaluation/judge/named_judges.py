"""What `evaluation.judge=…` names: guards, text classifiers, lists of words, or the behavior's own texts."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.classifier import Classifier
from evaluation.continuations import Scorer
from evaluation.judge.guard import Guard
from evaluation.judge.guard_file import read_guard
from evaluation.judge.known_judges import PROBE_TEXTS, is_guard, is_word_list, judge_metric
from evaluation.judge.overrefusal import REFUSAL, RefusedBy
from evaluation.judge.probe_texts import ProbeTexts
from evaluation.judge.side_by_side import SideBySide
from evaluation.judge.word_list import WordList
from surgery.errors import InputError


def judge_scorers(
    names: Sequence[str],
    model: str | None = None,
    judged_class: str | int | None = None,
    texts: Mapping[str, Any] | None = None,
    share: float = 0.1,
) -> dict[str, Scorer]:
    """The scorers of a judge, or of several.

    Args:
        names: one: of a guard that comes with this package, a guard's YAML file, a list of words (`.txt`),
            `probe-texts`, or a text classifier, by folder or hub name; or several guards.
        model: in place of the one that a guard's file names.
        judged_class: of a text classifier, by name or number: what a continuation counts for.
        texts, share: of `probe-texts`.

    Raises:
        InputError: for a classifier without a class, and judges side by side that are no guards.
    """
    guards = [name for name in names if is_guard(name)]
    if len(names) > 1:
        if len(guards) < len(names) or model is not None:
            raise InputError(
                "evaluation.judge lists several judges: they have to be guards, each with its model in its own file"
            )
        return {"judges": SideBySide([Guard(name) for name in names])}
    [name] = names
    if name == PROBE_TEXTS:
        return {"judge": ProbeTexts(texts or {}, share)}
    if is_word_list(name):
        return {"judge": WordList(name, judge_metric(name))}
    if guards:
        return {"judge": Guard(name, model=model)}
    if judged_class is None:
        raise InputError(
            f"evaluation.judge={name} is no guard, so it is read as a text classifier; say which of its classes counts "
            "with evaluation.judge_class=NAME"
        )
    return {"judge": Classifier(name, {judge_metric(name, judged_class): judged_class}, pair=True)}


def overrefusal_judges(judges: Mapping[str, Scorer]) -> dict[str, Scorer]:
    """Of these judges, those guards that tell refusals, as judges of over-refusal."""
    guards = [
        guard
        for judge in judges.values()
        for guard in (judge.judges if isinstance(judge, SideBySide) else [judge])
        if isinstance(guard, Guard) and read_guard(guard.file).pair_with(REFUSAL) is not None
    ]
    return {f"refused by {guard.called}": RefusedBy(guard) for guard in guards}
