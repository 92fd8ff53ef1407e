"""How far the sliders reach, how fine they are, and what is said of where they are."""

import math
from dataclasses import dataclass
from decimal import Decimal

from sweeps.play.played_adapter import edit_of, measuring_command
from sweeps.play.presets import Preset, Presets
from sweeps.play.session import Session
from sweeps.records.numbers import change

# How far they reach beyond the sweep's own cells.
BEYOND_ALPHA, BEYOND_TOP_K = 2, 4
# The slider of alpha has at least so many steps between 0 and its end.
STEPS = 100


@dataclass(frozen=True)
class Reach:
    """From where to where a slider goes, and in which steps."""

    low: float
    high: float
    step: float


def alpha_reach(presets: Presets) -> Reach:
    """As far below 0 as above, in steps that every cell's alpha is a whole number of."""
    alphas = [one.alpha for one in presets.cells]
    far = BEYOND_ALPHA * max(map(abs, alphas))
    digits = max(math.ceil(math.log10(STEPS / far)), *(_digits(alpha) for alpha in [*alphas, far]))
    return Reach(-far, far, float(Decimal(1).scaleb(-digits)))


def top_k_reach(presets: Presets, rows: int) -> Reach:
    """From one row to a few times the sweep's largest region, where there are so many to choose from."""
    return Reach(1, min(rows, BEYOND_TOP_K * max(one.top_k for one in presets.cells)), 1)


def _digits(number: float) -> int:
    """How many decimals it is written with."""
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    assert isinstance(exponent, int), "alphas are finite"
    return max(0, -exponent)


def where(session: Session, presets: Presets, preset: Preset, alpha: float, top_k: int) -> str:
    """The edit of two sliders in words: a cell that was measured, with what came out, or nothing that was.

    Raises:
        InputError: where there is no such edit; see `Session.chain`.
    """
    if alpha == 0:
        return "Alpha 0 is no edit: the answer on the right is the base's, but for what the cell's composition applies."
    edit = edit_of(session.chain(preset, alpha, top_k))
    told = f"{edit.region.how}."
    cells = {one.edit.fingerprint: one.record for one in presets.cells}
    if (record := cells.get(edit.fingerprint)) is None:
        command = measuring_command(preset, alpha, top_k)
        return f"{told} No cell of the sweep: nothing was measured here." + f" To measure it: `{command}`" * bool(
            command
        )
    metric = record.metrics.get(session.judge.metric)
    measured = f": {metric.name} {change(metric)}, n = {metric.n}" if metric is not None else ""
    return f"{told} Cell {record.cell} of the sweep{measured}."
