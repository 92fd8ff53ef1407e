"""Which way of a metric is the better one, and which two metrics a trade-off is drawn over."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from evaluation.robustness.relearned_names import metric_and_steps
from sweeps.records.choice import Choice
from sweeps.records.metric import name_of
from sweeps.results.pareto import Direction

LOWER_IS_BETTER = (
    "*toxic_rate",
    "*toxicity*",
    "*perplexity*",
    "fluency/repetition",
    "divergence/*",
    "*unsafe_rate*",
    "*any_unsafe",
    "*overrefusal_rate*",
)
HIGHER_IS_BETTER = ("lm_eval/average", "lm_eval/*/acc*", "fluency/grammatical", "fluency/distinct*", "probe/*_accuracy")
# General ability, best first: what an edit has to leave alone.
ABILITY = ("lm_eval/average", "perplexity/", "fluency/")


def better(metric: str, choice: Choice | None) -> Direction:
    """The direction that the sweep's own rule gives, to a part of its metric too, else the one that the name has.

    For what is wanted high in one experiment and low in another (refusals, say) the rule is what tells. What is
    measured again after a short training is wanted the same way.
    """
    plain, _ = metric_and_steps(name_of(metric))
    if _ruled(plain, choice):
        assert choice is not None
        return "minimize" if choice.lowest else "maximize"
    return "minimize" if any(fnmatch(plain, pattern) for pattern in LOWER_IS_BETTER) else "maximize"


def known_better(metric: str, choice: Choice | None) -> Direction | None:
    """The better direction where the rule or the metric's name tells it; None where `better` only takes one."""
    plain, _ = metric_and_steps(name_of(metric))
    named = any(fnmatch(plain, pattern) for pattern in (*LOWER_IS_BETTER, *HIGHER_IS_BETTER))
    return better(metric, choice) if _ruled(plain, choice) or named else None


def _ruled(plain: str, choice: Choice | None) -> bool:
    """Whether a rule is about a metric, or about what it is a part of: a category, a set, an attack."""
    return choice is not None and f"{plain}/".startswith(f"{choice.metric}/")


def trade_off(metrics: Mapping[str, Sequence[float | None]], choice: Choice | None) -> tuple[str, str]:
    """The behavior and the general ability that a sweep is about.

    Args:
        metrics: {name: the cells' values}, headline metrics first; at least one.
        choice: what it minimises or maximises is the behavior.

    Returns:
        Two names; the same one twice where only one was measured. Of several general abilities it is the first in
        which most cells differ: on a line of equal values there is nothing to see.
    """
    ruled = [name for name in metrics if choice is not None and name_of(name) == choice.metric]
    behavior = next(iter([*ruled, *metrics]))
    plain = {name: name_of(name) for name in metrics}
    ability = [name for start in ABILITY for name in metrics if plain[name].startswith(start) and name != behavior]
    others = ability or [name for name in metrics if name != behavior] or [behavior]
    telling = [name for name in others if 2 * len(set(metrics[name])) > len(metrics[name])]
    return behavior, next(iter(telling or others))
