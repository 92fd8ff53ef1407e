"""What of a sweep's best cell can be trusted, and what can't: a few sentences, each with its numbers."""

from collections.abc import Iterator, Mapping

from sweeps.records.choice import Choice
from sweeps.records.metric import Metrics, key_of
from sweeps.records.numbers import change, number
from sweeps.results.best_cell import Chosen
from sweeps.results.broken_text import degenerate
from sweeps.results.pooling import Pooled


def what_to_trust(found: Chosen, choice: Choice, differs: Mapping[tuple[str, str], bool]) -> list[str]:
    """Sentences about the chosen cell; none where no cell was chosen.

    Args:
        found: what the rule said.
        choice: the rule.
        differs: {(cell, metric): whether it stays significant over all comparisons}, of `false_discoveries`.
    """
    return [] if found.best is None else list(_sentences(found, found.best, choice, differs))


def _sentences(found: Chosen, best: Pooled, choice: Choice, differs: Mapping[tuple[str, str], bool]) -> Iterator[str]:
    metrics, name = best.metrics, choice.metric
    told, other = metrics.get(name), metrics.get(key_of(name, "selection"))
    among = f"It was chosen among {len(found.rows)} {'cell' if len(found.rows) == 1 else 'cells'}"
    if told is None:
        yield f"{among} on the selection half, and nothing was measured on the report half: its number flatters it."
    elif other is None:
        yield f"{among} on the very samples that it is told on, so its number flatters it; measure it on others."
    else:
        yield (
            f"{among} on the selection half and measured on the report half, which the choice never saw: "
            f"{name} {change(other)} there, {change(told)} here."
        )
    if told is not None and told.interval is not None:
        low, high = told.interval
        n = "" if told.n is None else f", n = {told.n}"
        yield f"Its change is {number(told.delta, True)}, 95 % interval {number(low, True)} to {number(high, True)}{n}."
    if (stays := differs.get((best.cell, name))) is not None:
        word = "stays" if stays else "does not stay"
        yield f"It {word} significant at a false discovery rate of 5 % over all {len(differs)} comparisons."
    if reused := _without_a_half(metrics, choice):
        yield f"{', '.join(reused)}: measured once, so the rule's limit was held against the very number that is told."
    if len(best.seeds) == 1:
        yield "One seed: what another split and another probe would give is not known; seed=0,1,2 measures it."
    if broken := sum(degenerate(row) is not None for row in found.rows):
        yield f"{broken} of {len(found.rows)} cells broke the text and were left out."


def _without_a_half(metrics: Metrics, choice: Choice) -> list[str]:
    names = dict.fromkeys(condition.name for condition in choice.where)
    return [name for name in names if name in metrics and key_of(name, "selection") not in metrics]
