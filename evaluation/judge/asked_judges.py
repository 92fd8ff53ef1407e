"""The judges that the keys `evaluation.judge…` ask for, where there are any."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.continuations import Scorer
from evaluation.judge.known_judges import judge_names
from surgery.errors import InputError


def asked_judges(
    judge: str | Sequence[str] | None,
    model: str | None,
    judged_class: str | int | None,
    texts: Mapping[str, Any] | None,
    share: float,
) -> tuple[dict[str, Scorer], dict[str, Scorer]]:
    """(the judges of continuations, those of over-refusal); none without a judge.

    Args, and InputErrors raised: see `evaluation.judge.named_judges.judge_scorers`; one more for a model or a class
    without a judge, which would leave the usual judge in its place.
    """
    if not (names := judge_names(judge)):
        for key, value in (("judge_model", model), ("judge_class", judged_class)):
            if value is not None:
                raise InputError(f"evaluation.{key}={value} is given and no judge; name it with evaluation.judge=NAME")
        return {}, {}
    # What guards need brings torch, and takes seconds.
    from evaluation.judge.named_judges import judge_scorers, overrefusal_judges

    judges = judge_scorers(names, model, judged_class, texts, share)
    return judges, overrefusal_judges(judges)
