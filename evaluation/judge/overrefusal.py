"""Over-refusal by a guard that tells refusals, on harmless prompts that sound harmful."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.continuations import Judged
from evaluation.judge.guard import UNPARSED, Guard
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
        if not any(REFUSAL in pair for pair in read_guard(self.guard.file).pairs):
            raise InputError(f"the guard '{self.guard.file}' tells no refusals; wildguard and qwen3guard do")

    def prepare(self) -> None:
        """Loads the guard; raises InputError."""
        self.guard.prepare()

    def identity(self) -> dict[str, JSON]:
        """What the guard is."""
        return {"kind": "refused by", "guard": self.guard.identity()}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Judged:
        """`guard/<name>/overrefusal_rate` and `…/overrefusal_unparsed`: 0 or 1; [n] each."""
        judged = self.guard.score(prompts, continuations)
        name = f"guard/{self.guard.called}"
        pairs = read_guard(self.guard.file).pairs
        place = next(place for place, pair in enumerate(pairs) if REFUSAL in pair)
        unparsed = UNPARSED if place == 0 else f"{UNPARSED}_{pairs[place][0]}"
        scores = {
            f"{name}/overrefusal_rate": judged[f"{name}/{REFUSAL}_rate"],
            f"{name}/overrefusal_unparsed": judged[f"{name}/{unparsed}"],
        }
        return Judged(scores, judged.batches)
