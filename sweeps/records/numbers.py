"""Numbers as tables, sentences and cards write them."""

from sweeps.records.metric import Metric

# From here on three digits after the point say nothing, and the power of ten all.
_POWERS_FROM = 100_000.0
_WHOLE_FROM = 1_000.0


def number(value: float | None, signed: bool = False) -> str:
    """`0.940`, `38765`, `3.9e7`; with its sign where it is a change; `-` for what was not measured."""
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if abs(value) >= _POWERS_FROM:
        return powers(f"{value:{sign}.1e}")
    return f"{value:{sign}.{0 if abs(value) >= _WHOLE_FROM else 3}f}"


def powers(text: str) -> str:
    """Python's `3.9e+07` as people write it, `3.9e7`; other text as it is."""
    mantissa, e, power = text.partition("e")
    return f"{mantissa}e{int(power)}" if e and power.lstrip("+-").isdigit() else text


def change(metric: Metric | None) -> str:
    """`0.712 → 0.084`, or the one number of a metric without a base."""
    if metric is None:
        return "-"
    if metric.base is None:
        return number(metric.edited)
    return f"{number(metric.base)} → {number(metric.edited)}"
