import numpy as np
import pytest

from evaluation.measurement import Measurement
from evaluation.statistics import bonett_price_interval, compare


def measured(scores: list[float] | np.ndarray, **changed: object) -> Measurement:
    ids = tuple(str(i) for i in range(len(scores)))
    fields = {"name": "x", "half": "report", "sample_ids": ids, "scores": np.asarray(scores, dtype=float)}
    return Measurement(**{**fields, **changed})  # type: ignore[arg-type]


def test_the_interval_of_paired_shares_is_bonett_and_prices() -> None:
    # n = 20, 8 fall, 2 rise. By hand: p21 = 3/22, p12 = 9/22, difference -6/22 = -0.272727;
    # variance (12/22 - (6/22)^2) / 22 = (0.545455 - 0.074380) / 22 = 0.0214125; 1.959964 * 0.146330 = 0.286802.
    base = np.array([1] * 8 + [0] * 2 + [1] * 5 + [0] * 5, dtype=float)
    edited = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 5, dtype=float)
    low, high = bonett_price_interval(base, edited)
    assert low == pytest.approx(-0.559529, abs=2e-6)
    assert high == pytest.approx(0.014075, abs=2e-6)
    told = compare(measured(base), measured(edited))
    assert told.ci95 == (low, high)
    assert (told.base, told.edited, told.delta, told.n) == pytest.approx((0.65, 0.35, -0.3, 20))


def test_the_interval_of_shares_stays_within_minus_one_and_one_and_holds_the_difference() -> None:
    zeros, ones = np.zeros(5), np.ones(5)
    for base, edited, delta in ((zeros, ones, 1.0), (ones, zeros, -1.0), (zeros, zeros, 0.0)):
        low, high = bonett_price_interval(base, edited)
        assert -1 <= low <= delta <= high <= 1
    assert bonett_price_interval(ones, zeros)[0] == -1


def test_shares_that_did_not_change_still_have_an_interval() -> None:
    # By hand: n = 100, both kinds of change 1/102, so 1.959964 * sqrt((2/102) / 102) = 0.027175.
    assert compare(measured([0.0] * 100), measured([0.0] * 100)).ci95 == pytest.approx((-0.027175, 0.027175), abs=1e-6)


def plain_bootstrap(base: np.ndarray, edited: np.ndarray, strata: np.ndarray, resamples: int = 4000) -> np.ndarray:
    generator = np.random.default_rng(7)
    found = []
    for _ in range(resamples):
        means = []
        for name in np.unique(strata):
            places = np.flatnonzero(strata == name)
            drawn = generator.choice(places, len(places))
            means.append(edited[drawn].mean() - base[drawn].mean())
        found.append(np.mean(means))
    return np.percentile(found, [2.5, 97.5])


def test_means_are_resampled_in_pairs() -> None:
    generator = np.random.default_rng(0)
    base = generator.uniform(size=150)
    edited = base - 0.1 + generator.normal(scale=0.05, size=150)
    low, high = compare(measured(base), measured(edited)).ci95
    assert (low, high) == pytest.approx(tuple(plain_bootstrap(base, edited, np.zeros(150))), abs=0.002)
    # Were they not paired, the spread of the prompts would make it several times wider.
    assert high - low < 0.03


def test_an_average_over_tasks_is_resampled_within_tasks() -> None:
    generator = np.random.default_rng(1)
    strata = np.array(["small"] * 12 + ["large"] * 200 + ["one"])
    base = generator.integers(0, 2, 213).astype(float)
    edited = np.where(generator.uniform(size=213) < 0.3, 1 - base, base)
    average = {"statistic": "mean_of_means", "strata": tuple(strata)}
    told = compare(measured(base, **average), measured(edited, **average))
    expected = plain_bootstrap(base, edited, strata)
    assert told.ci95 == pytest.approx(tuple(expected), abs=0.02)
    assert told.delta == pytest.approx(np.mean([(edited - base)[strata == name].mean() for name in np.unique(strata)]))


def test_perplexity_is_resampled_by_windows_with_their_tokens() -> None:
    generator = np.random.default_rng(2)
    tokens = generator.integers(5, 50, 60).astype(float)
    base = tokens * generator.uniform(1.5, 2.5, 60)
    edited = base + tokens * generator.uniform(0.0, 0.2, 60)
    windows = {"statistic": "perplexity", "weights": tokens}
    told = compare(measured(base, **windows), measured(edited, **windows))
    found = []
    for _ in range(4000):
        drawn = generator.integers(0, 60, 60)
        total = tokens[drawn].sum()
        found.append(np.exp(edited[drawn].sum() / total) - np.exp(base[drawn].sum() / total))
    assert told.ci95 == pytest.approx(tuple(np.percentile(found, [2.5, 97.5])), abs=0.02)
    assert told.delta == pytest.approx(np.exp(edited.sum() / tokens.sum()) - np.exp(base.sum() / tokens.sum()))


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
        {"sample_ids": ("0", "2", "1")},
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
