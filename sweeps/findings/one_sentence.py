"""What an edit did, in one sentence that a person would say."""

from sweeps.findings.metric_words import words_of
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric, Metrics, key_of
from sweeps.records.numbers import change, number
from sweeps.results.broken_text import Measured, degenerate
from sweeps.results.headlines import headline_metrics

BENCHMARKS, PERPLEXITY = "lm_eval/average", "perplexity/"
# A model that refuses everything must not look good.
ANSWERED = "jailbreak/harmless_answered"
# What cannot be told from no change is called unchanged only where its interval ends nearer than this: one point of a
# benchmark, one per cent of a perplexity.
UNCHANGED = 0.01
# From here on a ratio says more than a percentage.
MANY_TIMES = 2.0


def in_one_sentence(row: Measured, choice: Choice | None) -> str:
    """`97 % fewer toxic continuations (0.940 → 0.025, n = 200); benchmarks unchanged; perplexity +1.3 %`.

    Values are of the report half; of the selection half, and called so, where nothing else was measured. It has no
    full stop.

    Args:
        row: a record that is done, or seeds pooled into one.
        choice: the rule; what it minimises or maximises is told first. Without one it is the first headline metric.
    """
    metrics = row.metrics
    behavior = (_told(metrics, choice.metric) if choice else None) or _first(row)
    if behavior is None:
        return "Nothing was measured"
    parts = [_counted(behavior)]
    if behavior.name.startswith("jailbreak") and behavior.name != ANSWERED and (answered := _told(metrics, ANSWERED)):
        parts.append(_counted(answered))
    if behavior.name != BENCHMARKS and (average := _told(metrics, BENCHMARKS)):
        parts.append(_points(average))
    texts = dict.fromkeys(one.name for one in metrics.values() if one.name.startswith(PERPLEXITY))
    for name in texts:
        if name != behavior.name and (found := _told(metrics, name)):
            parts.append(_perplexity(found, "perplexity" if len(texts) == 1 else name))
    sentence = "; ".join(parts)
    if behavior.half == "selection":
        sentence += " (all on the selection half)"
    if reason := degenerate(row):
        return f"Broke the text ({reason}), so nothing else it measures is a success: {sentence}"
    return sentence[0].upper() + sentence[1:] if sentence.startswith("no ") else sentence


def _told(metrics: Metrics, name: str) -> Metric | None:
    return metrics.get(name) or metrics.get(key_of(name, "selection"))


def _first(row: Measured) -> Metric | None:
    names = headline_metrics([row])
    return row.metrics[names[0]] if names else None


def _counted(metric: Metric) -> str:
    """A metric with its noun, its values and how many samples they are of."""
    words = words_of(metric.key)
    noun = words.noun if words and words.noun else ""
    values = change(metric) + (f", n = {metric.n}" if metric.n is not None else "")
    if metric.delta is None or metric.base is None:
        return f"{metric.name} {values}"
    if not metric.distinguishable:
        return f"no measurable change of {noun or metric.name} ({values})"
    if not metric.base:
        return f"{'more' if metric.delta > 0 else 'fewer'} {noun} ({values})" if noun else f"{metric.name} {values}"
    share = metric.delta / abs(metric.base)
    if not noun:
        return f"{metric.name} {_signed_percent(share)} ({values})"
    if share >= MANY_TIMES - 1:
        return f"{1 + share:.1f} times as many {noun} ({values})"
    return f"{_percent(abs(share))} {'more' if share > 0 else 'fewer'} {noun} ({values})"


def _points(metric: Metric) -> str:
    """An average of accuracies, by points of a hundred."""
    if metric.delta is None:
        return f"benchmarks {number(metric.edited)}"
    if not metric.distinguishable:
        return _no_change(metric, "benchmarks", 1.0)
    return f"benchmarks {100 * metric.delta:+.1f} points ({change(metric)})"


def _perplexity(metric: Metric, name: str) -> str:
    if metric.delta is None or not metric.base:
        return f"{name} {number(metric.edited)}"
    if not metric.distinguishable:
        return _no_change(metric, name, metric.base)
    share = metric.delta / metric.base
    if share >= MANY_TIMES - 1:
        return f"{name} {number(1 + share)} times the base's"
    return f"{name} {_signed_percent(share)}"


def _no_change(metric: Metric, name: str, whole: float) -> str:
    """No change, or none that was seen: which of the two, its interval tells."""
    low, high = metric.interval or (0.0, 0.0)
    if max(abs(low), abs(high)) <= UNCHANGED * whole:
        return f"{name} unchanged"
    return f"no measurable change of {name} ({change(metric)}, {number(low, True)} to {number(high, True)})"


def _percent(share: float) -> str:
    """`97 %`, `1.3 %`; `99.7 %`, so that nearly all is not told as all."""
    percent = 100 * share
    return f"{percent:.{1 if percent < 10 or 99 < percent < 100 else 0}f} %"


def _signed_percent(share: float) -> str:
    return f"{'-' if share < 0 else '+'}{_percent(abs(share))}"
