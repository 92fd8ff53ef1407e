import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from surgery import Probe, fit_probe
from surgery.probe.chance import chance_note


def wilson(right: int, n: int) -> float:
    z, share = 1.959963984540054, right / n
    middle = share + z * z / (2 * n)
    return (middle - z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.5, 1))
def test_a_probe_is_at_chance_unless_its_whole_interval_lies_above_the_larger_class(
    n: int, share: float, larger: float
) -> None:
    right = round(share * n)
    told = chance_note({"test_accuracy": right / n, "test_majority": larger, "n_test": n, "n_test_distinct": n})
    low = wilson(right, n)
    if abs(low - larger) > 1e-9:
        assert (told is None) == (low > larger)


def test_it_says_what_was_found_and_what_chance_is() -> None:
    told = chance_note({"test_accuracy": 0.55, "test_majority": 0.6, "n_test": 20, "n_test_distinct": 20})
    assert told is not None
    assert "0.550 of 20 test texts (95 % interval 0.342 to 0.742)" in told
    assert "the larger class alone on 0.600" in told


def test_copies_of_a_test_text_are_no_further_evidence() -> None:
    metrics = {"test_accuracy": 0.9, "test_majority": 0.5, "n_test": 1000}
    assert chance_note(metrics | {"n_test_distinct": 1000}) is None
    assert chance_note(metrics | {"n_test_distinct": 5}) is not None


def test_a_probe_that_was_never_tested_has_no_note(tmp_path) -> None:
    assert chance_note(Probe(torch.ones(2, 3), torch.zeros(2)).metrics) is None


@pytest.mark.parametrize("method", ["adam", "logistic", "mean_difference"])
def test_states_that_tell_nothing_are_at_chance_and_those_that_tell_all_are_not(method: str) -> None:
    labels = torch.arange(400) % 2
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(1))
    assert chance_note(fit_probe(noise, labels, method).metrics) is not None
    told = noise + 6 * labels[:, None]
    assert chance_note(fit_probe(told, labels, method, lr=1e-2, epochs=15).metrics) is None
