"""Over-refusal by a guard that tells refusals, on harmless prompts that sound harmful."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.continuations import Judged
from evaluation.judge.guard import Guard
from evaluation.judge.guard_file import read_guard
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError

REFUSAL = "refusal"


@dataclass(frozen=True)
class RefusedBy:
    """Replies that a guard takes for refusals.

    Attributes:
        guard: one of whose pairs of classes begins with `refusal`.
    """

    guard: Guard

    def check(self) -> None:
        """Raises InputError for a guard that can't be used, or tells no refusals."""
        self.guard.check()
        if read_guard(self.guard.file).pair_with(REFUSAL) is None:
            raise InputError(f"the guard '{self.guard.file}' tells no refusals; wildguard and qwen3guard do")

    def prepare(self) -> None:
        """Loads the guard; raises InputError."""
        self.guard.prepare()

    def identity(self) -> dict[str, JSON]:
        """What the guard is."""
        return {"kind": "refused by", "guard": self.guard.identity()}

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return [f"guard/{self.guard.called}/{name}" for name in ("overrefusal_rate", "overrefusal_unparsed")]

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Judged:
        """`guard/<name>/overrefusal_rate` and `…/overrefusal_unparsed`: 0 or 1; [n] each."""
        judged, guard = self.guard.score(prompts, continuations), read_guard(self.guard.file)
        name, place = f"guard/{self.guard.called}", guard.pair_with(REFUSAL)
        assert place is not None, "check was not called"
        scores = {
            f"{name}/overrefusal_rate": judged[f"{name}/{REFUSAL}_rate"],
            f"{name}/overrefusal_unparsed": judged[f"{name}/{guard.unparsed(place)}"],
        }
        return Judged(scores, judged.batches)
