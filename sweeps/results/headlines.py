"""Which metrics a table of cells shows."""

from collections.abc import Container, Mapping, Sequence
from fnmatch import fnmatch

from sweeps.results.broken_text import Measured

# The metrics a table of cells shows, in this order, where they were measured.
HEADLINES = (
    "toxicity/toxic_rate",
    "toxicity/any_toxic",
    "toxicity/expected_maximum",
    "toxigen/toxic_rate",
    "guard/*/unsafe_rate",
    "guard/*/unsafe_rate/prefill",
    "guard/*/unsafe_rate/wrapped",
    "guard/*/avoided_rate",
    "guard/*/listed_rate",
    "guard/*/any_unsafe",
    "guard/*/any_avoided",
    "guard/*/any_listed",
    "guard/*/accuracy",
    "guard/*/unparsed",
    "guard/*/kappa",
    "guard/*/overrefusal_rate",
    "jailbreak/refusal_rate",
    "jailbreak/refusal_rate/prefill",
    "jailbreak/refusal_rate/wrapped",
    "jailbreak/harmless_answered",
    "jailbreak/overrefusal_rate",
    "attitude/positive_rate",
    "attitude/negative_rate",
    # Thoughts that had not ended; of tasks each row alone tells it.
    *("toxic*/unended", "guard/*/unended", "jailbreak/*/unended", "attitude/*/unended"),
    "lm_eval/average",
    "perplexity/*",
    "divergence/kl",
    "divergence/kl/unended",
    "fluency/grammatical",
    "fluency/repetition",
    "robustness/*_rate_after_*",
    "robustness/*/any_*_after_*",
)
WITHOUT_EVALUATION = ("probe/test_accuracy", "probe/loss_*")
# What evaluators of ours call their metrics, up to the first slash: whatever begins with `toxic`, among others. A
# scorer of one's own has another name, and is measured because somebody wants to see it.
OURS = {pattern.partition("/")[0] for pattern in (*HEADLINES, *WITHOUT_EVALUATION)}


def headline_metrics(records: Sequence[Measured]) -> list[str]:
    """The metrics that a table of these records shows, as the records call them."""
    known = {key: metric for record in records for key, metric in record.metrics.items()}
    # A search, say, looks at the selection half alone.
    for half, patterns in (("report", HEADLINES), ("selection", HEADLINES), ("report", WITHOUT_EVALUATION)):
        of_half = {key: metric.name for key, metric in known.items() if metric.half == half}
        found = _of_ones_own(of_half) if patterns is HEADLINES else []
        found += [key for pattern in patterns for key, name in of_half.items() if fnmatch(name, pattern)]
        if found:
            return list(dict.fromkeys(found))
    return []


def _of_ones_own(names: Mapping[str, str]) -> list[str]:
    """Of each scorer that is none of ours, the first score."""
    found: dict[str, str] = {}
    for key, name in names.items():
        family, _, score = name.partition("/")
        if score and "/" not in score and not any(fnmatch(family, ours) for ours in OURS):
            found.setdefault(family, key)
    return list(found.values())


def reported_metrics(records: Sequence[Measured]) -> list[str]:
    """The metrics that a report draws: of the report half, and of the selection half what is there alone.

    A search, say, looks at the selection half alone. Headline metrics are always among them, parts of parts never.
    """
    known = {key: metric for record in records for key, metric in record.metrics.items()}
    found = [key for key, metric in known.items() if metric.half == "report" or metric.name not in known]
    return [key for key in found if not is_part_of_a_part(key, known)]


def is_part_of_a_part(key: str, measured: Container[str]) -> bool:
    """Whether a metric is of a category of a set, or of a set under an attack: `refusal_rate/harmbench/illegal`, where
    `refusal_rate/harmbench` and `refusal_rate` are measured, too. There can be hundreds of these.
    """
    part = key.rpartition("/")[0]
    return part in measured and part.rpartition("/")[0] in measured
