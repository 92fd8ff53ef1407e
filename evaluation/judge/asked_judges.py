"""The judges that the keys `evaluation.judge…` ask for, where there are any."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.continuations import Scorer
from evaluation.judge.known_judges import judge_names, require_used


def asked_judges(
    judge: str | Sequence[str] | None,
    model: str | None,
    judged_class: str | int | None,
    texts: Mapping[str, Any] | None,
    share: float,
) -> tuple[dict[str, Scorer], dict[str, Scorer]]:
    """(the judges of continuations, those of over-refusal); none without a judge.

    Args, and InputErrors raised: see `evaluation.judge.named_judges.judge_scorers`; one more for a model or a class
    that no judge would use.
    """
    names = judge_names(judge)
    require_used(names, model, judged_class)
    if not names:
        return {}, {}
    # What guards need brings torch, and takes seconds.
    from evaluation.judge.named_judges import judge_scorers, overrefusal_judges

    judges = judge_scorers(names, model, judged_class, texts, share)
    return judges, overrefusal_judges(judges)
