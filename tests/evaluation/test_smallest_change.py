"""How small a change n prompts can show, against McNemar's score and against what `compare` makes of such prompts."""

import numpy as np
import pytest
from scipy.stats import norm

from evaluation.comparison.compare import compare
from evaluation.comparison.smallest_change import fewest_turned, samples_to_show, smallest_change
from evaluation.measurements.measurement import Measurement


def by_the_score(n: int) -> int | None:
    """The score test of k falls and no rise against no difference: z = (falls - rises) / sqrt(falls + rises)."""
    return next((k for k in range(1, n + 1) if k / np.sqrt(k) > norm.ppf(0.975)), None)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 30, 200])
def test_the_fewest_that_have_to_turn_are_those_of_the_score_test(n: int) -> None:
    assert fewest_turned(n) == by_the_score(n)
    assert smallest_change(n) == (None if by_the_score(n) is None else by_the_score(n) / n)


@pytest.mark.parametrize("n", [3, 4, 30])
def test_one_less_is_not_told_from_the_base_by_the_interval_that_cells_are_chosen_by(n: int) -> None:
    def told(turned: int) -> bool:
        ids = tuple(map(str, range(n)))
        after = np.ones(n)
        after[:turned] = 0
        found = compare(Measurement("x", "selection", ids, np.ones(n)), Measurement("x", "selection", ids, after))
        return not found.ci95[0] <= 0 <= found.ci95[1]

    needed = fewest_turned(n)
    assert [told(turned) for turned in range(1, n + 1)] == [
        needed is not None and turned >= needed for turned in range(1, n + 1)
    ]


@pytest.mark.parametrize("change", [1.0, -0.5, 0.3, 0.1, -1 / 15, 0.05])
def test_the_samples_that_a_change_takes_are_the_first_that_can_show_it(change: float) -> None:
    tried = ((n, by_the_score(n)) for n in range(1, 200))
    assert samples_to_show(change) == next(n for n, k in tried if k is not None and k <= abs(change) * n + 1e-9)
