"""Whether a probe has learned anything: its test accuracy beside what naming the larger class alone would score."""

from collections.abc import Mapping

from surgery.errors import InputError


class ProbeAtChance(InputError):
    """A probe that was to be better than chance, and can't be told from it."""


def chance_note(metrics: Mapping[str, float | int | None]) -> str | None:
    """A sentence where the test accuracy can't be told from chance, else None.

    It can't where its 95 % Wilson interval (1927) holds the share of the larger class in the test texts, or lies
    below it. Copies of a text are no further evidence: the interval is of the number of different test texts.

    Args:
        metrics: of a probe, see `fit_probe`. One that was not tested, or whose file does not say how, has no note.
    """
    accuracy, larger = metrics.get("test_accuracy"), metrics.get("test_majority")
    n = metrics.get("n_test_distinct")
    if accuracy is None or larger is None or not n:
        return None
    from scipy.stats import binomtest

    interval = binomtest(round(accuracy * n), int(n)).proportion_ci(0.95, method="wilson")
    if interval.low > larger:
        return None
    return (
        f"the probe can't be told from chance: it is right on {accuracy:.3f} of {int(n)} test texts (95 % interval "
        f"{interval.low:.3f} to {interval.high:.3f}), and naming the larger class alone on {larger:.3f}"
    )
