"""What a metric is called after a short training on the behavior."""

import re

_AFTER = re.compile(r"robustness/(.+)_after_(\d+)")


def name_after(metric: str, steps: int) -> str:
    """`robustness/toxicity/toxic_rate_after_30`, of `toxicity/toxic_rate` after 30 steps."""
    return f"robustness/{metric}_after_{steps}"


def metric_and_steps(name: str) -> tuple[str, int]:
    """(the metric that is measured again, after how many steps): what `name_after` was given; 0 for any other name."""
    found = _AFTER.fullmatch(name)
    return (found[1], int(found[2])) if found else (name, 0)
