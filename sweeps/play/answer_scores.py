"""What a sweep's own scorers say of one answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Self

from hydra.errors import HydraException
from hydra.utils import instantiate

from evaluation.continuations import Continuations, Scorer, scores_by
from evaluation.generation import Generated
from surgery.errors import InputError
from sweeps.config.foreign_code import foreign_code
from sweeps.records.choice import Choice


@dataclass(frozen=True)
class AnswerScores:
    """Scorers of a cell's prompts.

    Attributes:
        scorers: by name; none where there are none to be had.
        why: a sentence for that.
        metric: what the sweep's cells are chosen by, which is told first.
    """

    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    why: str = ""
    metric: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any], measurement: str = "", trust_code: bool = False) -> Self:
        """The scorers that a cell was measured with, ready to judge.

        They are those of the measurement that answers are made like, see `as_measured`.

        Args:
            config: of the cell.
            measurement: whose they are; empty for what the cell is chosen by.
            trust_code: let the config name code that is not ours.
        """
        evaluation = config["evaluation"]
        metric = Choice.parse(rule).metric if (rule := evaluation.get("choose")) else ""
        if not trust_code and (code := foreign_code(evaluation)):
            return cls(why=f"the scorers run code that is not ours ({', '.join(code)}); if you trust it: --trust-code")
        try:
            made = instantiate(evaluation["measurements"], _convert_="all")
            scorers = _scorers(made, measurement or metric.partition("/")[0], bool(config["model"]["chat"]))
            for scorer in scorers.values():
                scorer.check()
                scorer.prepare()
        except (InputError, HydraException) as error:
            reason = error.__cause__ if isinstance(error.__cause__, InputError) else error
            return cls(why=f"the sweep's scorer can't be made: {str(reason).splitlines()[0]}")
        return cls(scorers, "" if scorers else "the cell measured no answers, so it has no scorer for them", metric)

    def scores(self, prompt: str, answer: Generated) -> dict[str, float]:
        """{metric: score of the answer}, what the cells are chosen by first; raises InputError as the scorers do."""
        found, _ = scores_by(self.scorers, [prompt], answer)
        ordered = sorted(found, key=lambda name: name != self.metric)
        return {name: float(found[name][0]) for name in ordered}


def _scorers(made: Mapping[str, Any], wanted: str, chat: bool) -> Mapping[str, Scorer]:
    """Of the measurement that is wanted; else of the first whose answers are put into the chat template alike."""
    scored = [(name, one) for name, evaluator in made.items() for one in _continuations(evaluator) if one.scorers]
    named = [one for name, one in scored if name == wanted]
    alike = [one for _, one in scored if one.generation.chat == chat]
    return next((one.scorers for one in [*named, *alike]), {})


def _continuations(evaluator: Any) -> Iterator[Continuations]:
    """What continues prompts, wherever it stands in an evaluator."""
    if isinstance(evaluator, Continuations):
        yield evaluator
    elif isinstance(evaluator, Mapping):
        for value in evaluator.values():
            yield from _continuations(value)
    elif is_dataclass(evaluator):
        for one in fields(evaluator):
            yield from _continuations(getattr(evaluator, one.name))
