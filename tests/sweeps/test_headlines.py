"""What a table of cells shows is what was measured, of one half or of both."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from made_metrics import made_metrics

from sweeps.records.metric import Metric
from sweeps.results.headlines import headline_metrics


@dataclass
class Cell:
    """A cell that measured what is named."""

    names: tuple[str, ...]
    metrics: dict[str, Metric] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metrics = made_metrics({name: {} for name in self.names})


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        (
            ("probe/test_accuracy", "selection/toxicity/toxic_rate", "perplexity/story", "toxicity/toxic_rate"),
            ["toxicity/toxic_rate", "perplexity/story"],
        ),
        (
            ("probe/test_accuracy", "selection/perplexity/story", "selection/toxicity/toxic_rate"),
            ["selection/toxicity/toxic_rate", "selection/perplexity/story"],
        ),
        # A scorer of one's own, by its first score.
        (("probe/test_accuracy", "mine/rate", "mine/mean", "mine/rate/part"), ["mine/rate"]),
        (("toxicity/toxic_rate", "mine/rate", "toxicity_unbiased/mean"), ["mine/rate", "toxicity/toxic_rate"]),
        (("probe/test_accuracy", "toxicity_unbiased/mean"), ["probe/test_accuracy"]),
        (("toxicity_unbiased/mean",), []),
    ],
)
def test_headlines_in_their_order_and_the_selection_half_where_that_is_all(measured: Any, shown: list[str]) -> None:
    assert headline_metrics([Cell(measured)]) == shown
