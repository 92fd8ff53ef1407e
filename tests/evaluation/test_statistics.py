from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from evaluation.comparison.compare import band, compare
from evaluation.comparison.intervals import tango_interval
from evaluation.comparison.significance import holm_adjusted
from evaluation.measurements.measurement import Measurement


def measured(scores: list[float] | np.ndarray, **changed: object) -> Measurement:
    ids = tuple(str(i) for i in range(len(scores)))
    fields = {"name": "x", "half": "report", "sample_ids": ids, "scores": np.asarray(scores, dtype=float)}
    return Measurement(**{**fields, **changed})  # type: ignore[arg-type]


def likeliest_falls(rises: int, falls: int, n: int, difference: float) -> float:
    """The share of falls that a trinomial with this difference is likeliest to have, by search."""

    def unlikely(share: float) -> float:
        kinds = np.array([share + difference, share, 1 - 2 * share - difference])
        return -float(np.sum(np.array([rises, falls, n - rises - falls]) * np.log(kinds)))

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    return float(minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x)


@pytest.mark.parametrize(("rises", "falls", "n"), [(2, 8, 20), (1, 30, 200), (5, 5, 50), (12, 3, 400)])
def test_the_interval_of_paired_shares_ends_where_a_score_test_rejects(rises: int, falls: int, n: int) -> None:
    low, high = tango_interval(rises, falls, n)
    for bound, expected in ((low, 1.959964), (high, -1.959964)):
        share = likeliest_falls(rises, falls, n, bound)
        variance = n * (2 * share + bound - bound**2)
        assert (rises - falls - n * bound) / np.sqrt(variance) == pytest.approx(expected, abs=1e-4)


def test_shares_get_tangos_interval_and_mcnemars_test() -> None:
    base = np.array([1] * 8 + [0] * 2 + [1] * 5 + [0] * 5, dtype=float)
    edited = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5, dtype=float)
    told = compare(measured(base), measured(edited))
    assert told.ci95 == tango_interval(2, 8, 20)
    # By hand: of ten changes two or fewer rise, or eight or more: 2 * (1 + 10 + 45) / 1024.
    assert told.p == pytest.approx(0.109375)
    assert (told.base, told.edited, told.delta, told.n) == pytest.approx((0.65, 0.35, -0.3, 20))


def test_the_interval_of_shares_stays_within_minus_one_and_one_and_holds_the_difference() -> None:
    for rises, falls, delta in ((5, 0, 1.0), (0, 5, -1.0), (0, 0, 0.0), (1, 0, 0.2)):
        low, high = tango_interval(rises, falls, 5)
        assert -1 <= low <= delta <= high <= 1
        assert high - low > 0.3


def test_shares_that_did_not_change_still_have_an_interval() -> None:
    # With no change the score is D * sqrt(n / (D - D^2)); by hand it is z at D = z^2 / (n + z^2) = 0.0369935.
    told = compare(measured([0.0] * 100), measured([0.0] * 100))
    assert told.ci95 == pytest.approx((-0.0369935, 0.0369935), abs=1e-6)
    assert told.p == 1
    tasks = {"statistic": "mean_of_means", "strata": ("a",) * 50 + ("b",) * 50}
    low, high = compare(measured([1.0] * 100, **tasks), measured([1.0] * 100, **tasks)).ci95
    assert -0.03 <= low < 0 < high <= 0.03


def plain_bootstrap(
    base: np.ndarray, edited: np.ndarray, strata: np.ndarray, step: float, resamples: int = 4000
) -> np.ndarray:
    generator = np.random.default_rng(7)
    found = []
    for _ in range(resamples):
        means = []
        for name in np.unique(strata):
            places = np.flatnonzero(strata == name)
            drawn = generator.choice(places, len(places))
            means.append(edited[drawn].mean() - base[drawn].mean())
        found.append(np.mean(means))
    return np.percentile(found + unseen(step), [2.5, 97.5])


def unseen(step: float, resamples: int = 4000) -> np.ndarray:
    """Half a rise and half a fall, as a bootstrap would draw them."""
    generator = np.random.default_rng(8)
    return step * (generator.poisson(0.5, resamples) - generator.poisson(0.5, resamples))


def test_means_are_resampled_in_pairs() -> None:
    generator = np.random.default_rng(0)
    base = generator.uniform(size=150)
    edited = base - 0.1 + generator.normal(scale=0.05, size=150)
    low, high = compare(measured(base), measured(edited)).ci95
    change = edited - base
    step = np.abs(change - change.mean()).max() / 150
    assert (low, high) == pytest.approx(tuple(plain_bootstrap(base, edited, np.zeros(150), step)), abs=0.002)
    # Were they not paired, the spread of the prompts would make it several times wider.
    assert high - low < 0.03


def test_an_average_over_tasks_is_resampled_within_tasks() -> None:
    generator = np.random.default_rng(1)
    strata = np.array(["small"] * 12 + ["large"] * 200 + ["one"])
    base = generator.integers(0, 2, 213).astype(float)
    edited = np.where(generator.uniform(size=213) < 0.3, 1 - base, base)
    average = {"statistic": "mean_of_means", "strata": tuple(strata)}
    told = compare(measured(base, **average), measured(edited, **average))
    small = (edited - base)[:12]
    expected = plain_bootstrap(base, edited, strata, np.abs(small - small.mean()).max() / 36)
    assert told.ci95 == pytest.approx(tuple(expected), abs=0.02)
    assert told.delta == pytest.approx(np.mean([(edited - base)[strata == name].mean() for name in np.unique(strata)]))


def test_perplexity_is_resampled_by_windows_with_their_tokens() -> None:
    generator = np.random.default_rng(2)
    tokens = generator.integers(5, 50, 60).astype(float)
    base = tokens * generator.uniform(1.5, 2.5, 60)
    edited = base + tokens * generator.uniform(0.0, 0.2, 60)
    windows = {"statistic": "perplexity", "weights": tokens}
    told = compare(measured(base, **windows), measured(edited, **windows))
    mean = (edited - base).sum() / tokens.sum()
    # How far the most telling window moves the mean loss: what leaving it out does.
    rests = [np.arange(60) != left for left in range(60)]
    step = max(abs((edited - base)[rest].sum() / tokens[rest].sum() - mean) for rest in rests)
    found = []
    for one in unseen(step):
        drawn = generator.integers(0, 60, 60)
        before, after = (losses[drawn].sum() / tokens[drawn].sum() for losses in (base, edited))
        found.append(np.exp(before) * (np.exp(after - before + one) - 1))
    assert told.ci95 == pytest.approx(tuple(np.percentile(found, [2.5, 97.5])), abs=0.02)
    assert told.delta == pytest.approx(np.exp(edited.sum() / tokens.sum()) - np.exp(base.sum() / tokens.sum()))


def test_four_windows_that_all_rise_leave_no_doubt_that_the_perplexity_rose() -> None:
    tokens = np.array([511.0, 511.0, 511.0, 40.0])
    base = tokens * np.array([4.0, 4.2, 4.1, 6.0])
    windows = {"statistic": "perplexity", "weights": tokens}
    rise = tokens * np.array([4.5, 3.9, 4.8, 7.0])
    told = compare(measured(base, **windows), measured(base + rise, **windows))
    assert told.ci95[0] <= told.delta <= told.ci95[1]
    # By e^3.9 = 49 times in the window that rises least.
    assert told.ci95[0] > 9 * told.base
    healed = compare(measured(base + rise, **windows), measured(base, **windows))
    assert healed.ci95[1] < -0.5 * healed.base


def test_differences_that_are_all_equal_give_one_number() -> None:
    scores = np.array([0.25, 0.5, 0.125])
    moved = compare(measured(scores), measured(scores + 0.5))
    assert moved.ci95 == (moved.delta, moved.delta)
    assert moved.delta == pytest.approx(0.5)
    assert compare(measured(scores), measured(scores)).ci95 == (0.0, 0.0)
    assert compare(measured([0.25]), measured([0.75])).ci95 == (0.5, 0.5)
    windows = {"statistic": "perplexity", "weights": np.array([1.0, 2.0, 3.0])}
    assert compare(measured(scores, **windows), measured(scores, **windows)).ci95 == (0.0, 0.0)


def test_the_same_seed_gives_the_same_interval_whatever_the_global_state() -> None:
    generator = np.random.default_rng(3)
    base, edited = measured(generator.normal(size=50)), measured(generator.normal(size=50))
    np.random.seed(1)
    first = compare(base, edited, seed=5)
    np.random.seed(2)
    assert compare(base, edited, seed=5) == first
    assert compare(base, edited, seed=6).ci95 != first.ci95


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "y"},
        {"half": "selection"},
        {"sample_ids": ("0", "1", "3")},
        {"statistic": "mean_of_means", "strata": ("a", "a", "b")},
    ],
)
def test_only_the_same_measurement_of_the_same_samples_compares(changed: dict) -> None:
    with pytest.raises(ValueError, match="differ"):
        compare(measured([0.0, 1.0, 2.0]), measured([0.0, 1.0, 2.0], **changed))


def test_windows_of_different_tokens_do_not_compare() -> None:
    def windows(tokens: list[float]) -> Measurement:
        return measured([1.0, 2.0], statistic="perplexity", weights=np.array(tokens))

    with pytest.raises(ValueError, match="tokens"):
        compare(windows([1, 2]), windows([2, 1]))


def test_samples_are_paired_by_id_whatever_their_order() -> None:
    base = measured([0.0, 1.0, 1.0, 0.0], sample_ids=("a", "b", "c", "d"))
    edited = measured([0.0, 0.0, 0.0, 1.0], sample_ids=("d", "c", "a", "b"))
    told = compare(base, edited)
    assert (told.delta, told.p) == (-0.25, 1.0)
    assert told.ci95 == tango_interval(0, 1, 4)


def test_the_permutation_test_exchanges_base_and_edited_within_samples() -> None:
    generator = np.random.default_rng(4)
    base = generator.uniform(size=8)
    edited = base + generator.normal(0.1, 0.1, size=8)
    change = edited - base
    sums = np.array([np.dot(signs, change) for signs in product((-1, 1), repeat=8)])
    expected = 2 * min((sums >= change.sum() - 1e-12).mean(), (sums <= change.sum() + 1e-12).mean())
    assert compare(measured(base), measured(edited)).p == pytest.approx(min(1.0, expected))
    strata = ("a",) * 2 + ("b",) * 6
    weighted = change / np.array([4] * 2 + [12] * 6)
    sums = np.array([np.dot(signs, weighted) for signs in product((-1, 1), repeat=8)])
    expected = 2 * min((sums >= weighted.sum() - 1e-12).mean(), (sums <= weighted.sum() + 1e-12).mean())
    average = {"statistic": "mean_of_means", "strata": strata}
    assert compare(measured(base, **average), measured(edited, **average)).p == pytest.approx(min(1.0, expected))


def test_perplexities_are_exchanged_by_windows() -> None:
    generator = np.random.default_rng(5)
    tokens = generator.integers(5, 50, 8).astype(float)
    base = tokens * generator.uniform(1.5, 2.5, 8)
    edited = base + tokens * generator.normal(0.05, 0.1, 8)
    found = []
    for exchanged in product((False, True), repeat=8):
        one, other = np.where(exchanged, edited, base), np.where(exchanged, base, edited)
        found.append(np.exp(other.sum() / tokens.sum()) - np.exp(one.sum() / tokens.sum()))
    expected = 2 * min((np.array(found) >= found[0] - 1e-12).mean(), (np.array(found) <= found[0] + 1e-12).mean())
    windows = {"statistic": "perplexity", "weights": tokens}
    assert compare(measured(base, **windows), measured(edited, **windows)).p == pytest.approx(min(1.0, expected))


def test_p_is_small_for_what_is_no_chance_and_large_for_what_may_be() -> None:
    generator = np.random.default_rng(6)
    base = generator.uniform(size=200)
    assert compare(measured(base), measured(base + generator.normal(0.05, 0.05, 200))).p == pytest.approx(2e-4)
    assert compare(measured(base), measured(base + generator.normal(0, 0.05, 200))).p > 0.05
    assert compare(measured(base), measured(base)).p == 1.0


def test_a_band_is_of_one_models_mean_over_other_samples() -> None:
    generator = np.random.default_rng(7)
    scores = generator.normal(0.5, 0.2, 60)
    means = generator.choice(scores, (20_000, 60)).mean(1) + unseen(np.abs(scores - scores.mean()).max() / 60, 20_000)
    assert band(measured(scores)) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.01)
    # Each stratum counts alike, whatever its size.
    strata = ("a",) * 10 + ("b",) * 50
    low, high = band(measured(scores, statistic="mean_of_means", strata=strata))
    assert low < (scores[:10].mean() + scores[10:].mean()) / 2 < high
    # 60 samples can't show that no other would count.
    low, high = band(measured(np.zeros(60)))
    assert (low, high) == (0.0, pytest.approx(2 / 60))
    with pytest.raises(ValueError, match="a perplexity is none"):
        band(measured([1.0, 2.0], statistic="perplexity", weights=np.array([1.0, 2.0])))


def test_holms_procedure_by_hand() -> None:
    # From the smallest: 4 x 0.01, 3 x 0.02, 2 x 0.03 and 1 x 0.04, none below the one before it.
    assert holm_adjusted([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm_adjusted([0.5, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([]) == []
