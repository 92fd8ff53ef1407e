"""Which metrics a table of cells shows."""

from collections.abc import Sequence
from fnmatch import fnmatch

from sweeps.results.broken_text import Measured

# The metrics a table of cells shows, in this order, where they were measured.
HEADLINES = (
    "toxicity/toxic_rate",
    "toxigen/toxic_rate",
    "guard/*/unsafe_rate",
    "guard/*/avoided_rate",
    "guard/*/accuracy",
    "guard/*/unparsed",
    "guard/*/kappa",
    "guard/*/overrefusal_rate",
    "jailbreak/refusal_rate",
    "jailbreak/harmless_answered",
    "jailbreak/overrefusal_rate",
    "attitude/positive_rate",
    "attitude/negative_rate",
    "lm_eval/average",
    "perplexity/*",
    "divergence/kl",
    "fluency/grammatical",
    "fluency/repetition",
)
SELECTION = "selection/"
# Of a search, say, which looks at the selection half alone.
OF_SELECTION = tuple(f"{SELECTION}{pattern}" for pattern in HEADLINES)
WITHOUT_EVALUATION = ("probe/test_accuracy", "probe/loss_*")


def headline_metrics(records: Sequence[Measured]) -> list[str]:
    """The names of the metrics that a table of these records shows."""
    names = list(dict.fromkeys(name for record in records for name in record.metrics))
    for patterns in (HEADLINES, OF_SELECTION, WITHOUT_EVALUATION):
        found = [name for pattern in patterns for name in names if fnmatch(name, pattern)]
        if found:
            return list(dict.fromkeys(found))
    return []


def reported_metrics(records: Sequence[Measured]) -> list[str]:
    """The names of the metrics that a report draws: of the report half, and of the selection half what is there alone.

    A search, say, looks at the selection half alone. Headline metrics are always among them.
    """
    names = dict.fromkeys(name for record in records for name in record.metrics)
    return [name for name in names if not name.startswith(SELECTION) or name.removeprefix(SELECTION) not in names]
