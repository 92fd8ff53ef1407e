"""lm-eval's requests in batches of the model's token budget, and of half of it when memory runs out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from evaluation.measurements.measurement import JSON
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import fits
from surgery.tokens.encoding import token_ids

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import PreTrainedModel

    from surgery.states.batch_budget import Work

_WORK: "Mapping[str, Work]" = {
    "loglikelihood": "loglikelihood",
    "loglikelihood_rolling": "loglikelihood",
    "generate_until": "generation",
}


def run_within_budgets(
    lm: "HFLM", model: "PreTrainedModel", batch_size: int | None, progress: bool
) -> Mapping[str, Mapping[str, JSON]]:
    """Has lm-eval run each kind of request in batches of budget / longest request of that kind, at least 1.

    lm-eval sorts requests by length, longest first, so memory runs out at the start or not at all; then all requests
    of the kind are run again with half the budget.

    Args:
        batch_size: requests at once instead; halved too when memory runs out.

    Returns:
        {kind: notes of its batches}, filled as the requests are run.
    """
    notes: dict[str, Mapping[str, JSON]] = {}
    for kind in _WORK:
        run = partial(getattr(lm, kind), disable_tqdm=not progress)
        setattr(lm, kind, partial(_run, lm, model, kind, run, batch_size, notes))
    return notes


def _run(
    lm: "HFLM",
    model: "PreTrainedModel",
    kind: str,
    run: Callable[..., list[Any]],
    batch_size: int | None,
    notes: dict[str, Mapping[str, JSON]],
    requests: "Sequence[Instance]",
) -> list[Any]:
    longest = _longest_request(lm, kind, requests)
    budget = BatchBudget.of(model, _WORK[kind], None if batch_size is None else batch_size * longest)
    while True:
        size = max(1, budget.tokens // longest)
        lm.batch_size_per_gpu = size
        largest = min(size, len(requests))
        if (answers := fits(partial(run, requests), largest)) is not None:
            cut = _cut(lm, kind, requests)
            notes[kind] = {**budget.notes(), "batch_size": size, **({"prompts_cut": cut} if cut else {})}
            return answers[0]
        budget.lower(largest * longest)


def _longest_request(lm: "HFLM", kind: str, requests: "Sequence[Instance]") -> int:
    """Tokens of the longest request, new ones included, within what the model takes."""
    return int(min(lm.max_length, max(1, *_lengths(lm, kind, requests))))


def _cut(lm: "HFLM", kind: str, requests: "Sequence[Instance]") -> int:
    """How many requests lose their beginning; a rolling likelihood is taken in windows, and loses nothing."""
    # The last token of a continuation is asked for, and not fed.
    most = lm.max_length + (kind == "loglikelihood")
    return 0 if kind == "loglikelihood_rolling" else sum(length > most for length in _lengths(lm, kind, requests))


def _lengths(lm: "HFLM", kind: str, requests: "Sequence[Instance]") -> list[int]:
    """Tokens of each request, new ones included."""
    texts = ["".join(part for part in request.args if isinstance(part, str)) for request in requests]
    new = [_new_tokens(lm, request) if kind == "generate_until" else 0 for request in requests]
    return [len(ids) + count for ids, count in zip(token_ids(lm.tokenizer, texts), new, strict=True)]


def _new_tokens(lm: "HFLM", request: "Instance") -> int:
    from lm_eval.models.utils import normalize_gen_kwargs

    return int(normalize_gen_kwargs(request.args[1], lm.max_gen_toks)["max_gen_toks"])
