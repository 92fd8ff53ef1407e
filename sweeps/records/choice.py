"""The rule the best cell of a sweep is chosen by: on the selection half of the prompts, never on what is reported."""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from surgery.errors import InputError
from sweeps.records.metric import Metrics, Of, value_of

COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
# A metric's name may hold what somebody wrote, a prompt's topic say: it is the last sign and what follows that count.
_CONDITION = re.compile(
    r"(?P<name>.*?\S)(?:/(?P<of>delta|base|ratio))?\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[-+.\deE]+)", re.DOTALL
)


@dataclass(frozen=True)
class Condition:
    """A bound on a metric: `NAME`, `NAME/delta`, `NAME/base` or `NAME/ratio` (edited over base), a sign, a number."""

    name: str
    of: Of
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Raises InputError when the text is no condition."""
        match = _CONDITION.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError
            return cls(match["name"], cast("Of", match["of"] or "edited"), match["sign"], float(match["bound"]))
        except ValueError:
            raise InputError(f"'{text}' is no condition; write one like lm_eval/average/delta>=-0.02") from None

    def __str__(self) -> str:
        suffix = "" if self.of == "edited" else f"/{self.of}"
        bound = f"{self.bound:g}"
        return f"{self.name}{suffix} {self.sign} {bound if float(bound) == self.bound else self.bound}"

    def holds(self, metrics: Metrics) -> bool:
        """Whether it holds on the selection half; a metric that was not measured holds nothing."""
        value = value_of(metrics, self.name, self.of)
        return value is not None and self.met_by(value)

    def met_by(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return bool(COMPARISONS[self.sign](value, self.bound))


def conditions(where: str | Sequence[str] | None) -> tuple[Condition, ...]:
    """Those of a list, or of one text; raises InputError for what is none."""
    return tuple(Condition.parse(text) for text in ([where] if isinstance(where, str) else where or ()))


@dataclass(frozen=True)
class Choice:
    """The cell with the lowest (or highest) value of a metric among those where all conditions hold.

    Which cell that is, if any, `sweeps.results.best_cell` says.
    """

    metric: str
    lowest: bool
    where: tuple[Condition, ...]

    @classmethod
    def parse(cls, rule: Mapping[str, Any]) -> "Choice":
        """From `{minimize: NAME, where: [...]}` or `{maximize: NAME, where: [...]}`; one condition needs no list.

        Raises:
            InputError: when the rule names neither or both, or holds something else.
        """
        goals = [goal for goal in ("minimize", "maximize") if rule.get(goal)]
        if len(goals) != 1 or set(rule) - {"minimize", "maximize", "where"}:
            raise InputError(
                "a rule to choose by has one metric, to minimize or to maximize, and conditions where; say "
                "evaluation.choose.minimize=METRIC or .maximize=METRIC (to `sweeps`: --minimize or --maximize)"
            )
        return cls(str(rule[goals[0]]), goals[0] == "minimize", conditions(rule.get("where")))

    @classmethod
    def of(cls, rule: Mapping[str, Any] | None) -> "Choice | None":
        """As `parse`; None where there is no rule, or nothing in it."""
        return cls.parse(rule) if rule and any(rule.values()) else None

    def rule(self) -> dict[str, Any]:
        """What `parse` makes it of."""
        return {"minimize" if self.lowest else "maximize": self.metric, "where": [str(one) for one in self.where]}

    def __str__(self) -> str:
        goal = f"{'lowest' if self.lowest else 'highest'} {self.metric}"
        return goal + (" with " + ", ".join(map(str, self.where)) if self.where else "")
