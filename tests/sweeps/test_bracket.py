"""A bracket is found on curves whose answer is known."""

import json
import math
from collections.abc import Callable

import pytest

from sweeps.suggest.bracket import BROKEN, RISES, STEPS, Bracket, find_bracket

BASE = 20.0
# Neighbours of the grid, and what rounding to three digits may add.
STEP = 2 ** (1 / STEPS) * 1.01


def bracket(rise: Callable[[float], float], first: float = 1.0) -> Bracket:
    return Bracket(BASE, find_bracket(lambda alpha: BASE * (1 + rise(alpha)), BASE, first), "a text", 100)


@pytest.mark.parametrize("first", [0.02, 0.3, 1.0, 40.0, 900.0])
@pytest.mark.parametrize("power", [1, 2, 3.5])
@pytest.mark.parametrize("sign", [1, -1])
def test_each_rise_is_found_to_within_a_step_of_the_grid(first: float, power: float, sign: int) -> None:
    found = bracket(lambda alpha: 0.01 * abs(alpha) ** power, sign * first)
    for rise in RISES:
        crossed, below = (rise / 0.01) ** (1 / power), found.below(rise)
        assert below is not None and below * sign > 0
        assert abs(below) <= crossed <= abs(below) * STEP
        assert found.rise(below) < rise
    assert found.falls is None
    assert found.breaks is not None and found.rise(found.breaks) >= BROKEN
    # None is tried beyond the first that breaks the text, but where the first alpha did.
    assert abs(found.breaks) == max(map(abs, found.readings)) or abs(first) >= abs(found.breaks)
    assert [*map(abs, found.readings)] == sorted(map(abs, found.readings))


def test_a_dozen_readings_do_from_a_first_alpha_that_is_not_far_off() -> None:
    assert len(bracket(lambda alpha: 0.01 * alpha**2).readings) <= 14


def test_where_perplexity_falls_again_the_first_rise_counts_and_the_fall_is_told() -> None:
    def rise(alpha: float) -> float:
        return 0.06 if 1 <= alpha < 3 else 0.02 if 3 <= alpha < 10 else 0.004 * alpha

    found = bracket(rise, 0.5)
    below = found.below(0.05)
    assert below is not None and below < 1 <= below * STEP
    fall = found.falls
    assert fall is not None and fall[0] < 3 <= fall[1] < 10


def test_a_text_that_becomes_likelier_first_is_no_rise() -> None:
    found = bracket(lambda alpha: 0.001 * alpha**2 - 0.01 * alpha)
    below = found.below(0.01)
    assert below is not None and 10.9 / STEP <= below <= 10.92  # where 0.001 a^2 - 0.01 a = 0.01
    assert found.falls is not None


def test_what_no_alpha_shows_is_not_made_up() -> None:
    flat, steep = bracket(lambda alpha: 0.0), bracket(lambda alpha: 3.0)
    assert [flat.below(rise) for rise in RISES] == [steep.below(rise) for rise in RISES] == [None] * len(RISES)
    assert flat.breaks is None and flat.falls is None
    assert steep.breaks == min(steep.readings)
    assert max(flat.readings) == 4100 and min(steep.readings) == pytest.approx(1 / 4096, rel=1e-2)


def test_a_model_that_gives_no_numbers_any_more_has_broken_the_text() -> None:
    found = bracket(lambda alpha: math.inf if alpha > 5 else 0.02 * alpha)
    assert found.breaks is not None and found.breaks > 5
    assert found.below(0.05) == pytest.approx(2.5, rel=STEP - 1)
    below = found.below(0.2)
    assert below is not None and below <= 5 <= below * STEP
    assert Bracket.from_json(json.loads(json.dumps(found.to_json()))) == found
