"""Cells asked for one after another by a sampler that learns from those that have ended."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from surgery.errors import InputError
from sweeps.config.composition import Composed, compose_jobs
from sweeps.plan.materials import Materials
from sweeps.plan.measured_names import unmeasured
from sweeps.plan.plan import Plan
from sweeps.plan.planner import make_plan, plan_cell
from sweeps.records.choice import Choice, Condition, conditions
from sweeps.records.record import Record
from sweeps.results.giving_up import Objective, Pruning, violations
from sweeps.search.optuna_study import CELL, OVERRIDES, Study
from sweeps.search.sampler import SAMPLERS, make_sampler
from sweeps.search.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

# A sampler that names nothing but cells it has named before, so many times in a row, has seen them all.
PATIENCE = 50


@dataclass(frozen=True)
class SearchSettings:
    """The keys of `hydra.sweeper` as given; told of in docs/search.md.

    Raises:
        InputError: for a value that is not possible.
    """

    n_trials: int
    directions: Mapping[str, str] | None
    where: Sequence[str] | str | None
    sampler: str
    seed: int
    startup: int | None
    batch: int
    prune: bool

    def __post_init__(self) -> None:
        for name, least in (("n_trials", 1), ("seed", 0), ("startup", 1), ("batch", 1)):
            value = getattr(self, name)
            if value is None and name == "startup":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"hydra.sweeper.{name}={value} is not possible: it is a whole number from {least}")
        if self.sampler not in SAMPLERS:
            raise InputError(f"hydra.sweeper.sampler={self.sampler} is unknown; it is one of {', '.join(SAMPLERS)}")
        for name, direction in (self.directions or {}).items():
            if direction not in ("minimize", "maximize"):
                raise InputError(f"hydra.sweeper.directions: {name} is to be minimize or maximize, not {direction}")

    @property
    def first_trials(self) -> int:
        """How many trials are drawn at random before the sampler learns: a quarter, 4 to 10."""
        return self.startup or min(10, max(4, self.n_trials // 4))

    def goals(self, choice: Choice | None) -> tuple[tuple[Objective, ...], tuple[Condition, ...]]:
        """What the search is after: `directions`, or else what the best cell is chosen by; and the conditions.

        Raises:
            InputError: when there is neither.
        """
        if self.directions:
            objectives = tuple(Objective(name, goal == "minimize") for name, goal in self.directions.items())
        elif choice is not None:
            objectives = (Objective(choice.metric, choice.lowest),)
        else:
            raise InputError(
                "nothing says what the search is after; give hydra.sweeper.directions={METRIC: minimize} "
                "or an evaluation with choose"
            )
        if self.where is not None:
            return objectives, conditions(self.where)
        return objectives, choice.where if choice is not None else ()


@dataclass
class Search:
    """Asks for cells and hears how they ended.

    Attributes:
        settings, space: what was asked for.
        loader, master: of Hydra, to compose cells.
        first: a plan of the ends of the space; all others are like it.
        materials: what all plans share.
        objectives, conditions: what it is after.
        name: of one of several searches.
        told: keys that tell its cells from each other, and from those of other searches.
        ceilings: of one of several searches, for each price what a cell must not cost more than.
        exhausted: whether the sampler had nothing new to name.
    """

    settings: SearchSettings
    space: SearchSpace
    loader: Any
    master: DictConfig
    first: Plan
    materials: Materials
    objectives: tuple[Objective, ...]
    conditions: tuple[Condition, ...]
    name: str = ""
    told: tuple[str, ...] = ()
    ceilings: tuple[tuple[Condition, ...], ...] = ()
    exhausted: bool = False
    _numbers: dict[str, int] = field(default_factory=dict)
    _again: set[str] = field(default_factory=set)

    @classmethod
    def of(
        cls,
        settings: SearchSettings,
        space: SearchSpace,
        loader: Any,
        master: DictConfig,
        materials: Materials | None = None,
    ) -> "Search":
        """Checks both ends of every range and every option, before a model is loaded.

        Args:
            settings, space: what was asked for.
            loader, master: of Hydra.
            materials: what other searches of the command have read already.

        Raises:
            InputError: for whatever is wrong with them.
        """
        materials = materials or Materials()
        first = make_plan(compose_jobs(loader, master, space.ends()), materials)
        if len({experiment.cell.protocol for experiment in first.experiments}) > 1:
            raise InputError(
                "the space of this search changes what is measured, and cells measured in different ways can't be "
                "ranked; leave the keys of the evaluation out of it"
            )
        goals = settings.goals(first.choice)
        # What only goes with the value of a key that is chosen tells no more; a group's file is no key of a cell.
        chosen = {*space.domains, *(key for condition in space.conditions for key in condition.domains)}
        groups = chosen - first.experiments[0].cell.keys().keys()
        told = first.swept if groups else [name for name in first.swept if name in {*chosen, "top_k", "alpha"}]
        return cls(settings, space, loader, master, first, materials, *goals, told=tuple(told))

    def require_measured(self) -> None:
        """Raises InputError where it is after something, or holds to something, that is not measured."""
        named = {f"hydra.sweeper.directions={{{one.metric}: …}}": one.metric for one in self.objectives}
        named |= {f"hydra.sweeper.where=[{one}]": one.name for one in self.conditions}
        one = self.first.experiments[0]
        if said := unmeasured(named, one.evaluators, one.probe_loss):
            raise InputError(said)

    def open_study(self, at_once: int) -> None:
        """Opens the study in the sweep's folder.

        Args:
            at_once: how many cells run at once. With one, each is named from all before it. With more, half as many
                again may be asked for before a slow one is waited for.
        """
        settings = self.settings
        self.materials.keep.move_to(self.first.store_folder)

        def sampler(seed: int) -> "BaseSampler":
            return make_sampler(settings.sampler, seed, settings.first_trials)

        lag = at_once + at_once // 2
        self.study = Study(self.first.sweep_folder, self.space, self.objectives, sampler, settings.seed, lag)

    def know(self, records: Iterable[Record]) -> None:
        """Takes up cells of the sweep that ended well and are in the space, whoever ran them."""
        methods = {experiment.cell.settings.method.name for experiment in self.first.experiments}
        with self.study.locked():
            for record in records:
                if "method" in record.keys and record.keys["method"] not in methods:
                    continue  # to compose each to learn that it is outside takes long
                trial = self.study.of_cell(record.cell)
                if trial is not None:
                    if record.status == "failed" and self.first.retry_failed and trial.state.is_finished():
                        self._again.add(record.cell)
                        self.study.ask_again(trial)
                    continue
                place = self.space.place({key: str(value) for key, value in record.keys.items()})
                values = self._values(record) if record.status == "done" else None
                if place is None or values is None or self._cell(self._compose(place.overrides)) != record.cell:
                    continue
                self.study.add(record.cell, place, values, violations(record.metrics, self.conditions))

    def propose(self, count: int) -> Plan | None:
        """A plan of at most so many cells that have not ended; None when there are no more to ask for now.

        What processes that died have left comes first.
        """
        chosen: dict[str, Composed] = {}
        with self.study.locked():
            for trial in self.study.orphans():
                composed = self._compose(trial.user_attrs[OVERRIDES])
                chosen[self._cell(composed)] = composed
                self._numbers[trial.user_attrs[CELL]] = trial.number
            asked = self.study.asked()
            in_vain = 0
            while (
                len(chosen) < count
                and (len(asked) < self.settings.n_trials or self._again)
                and in_vain < PATIENCE
                and not self.study.waits()
            ):
                number, overrides = self.study.ask()
                composed = self._compose(overrides)
                cell = self._cell(composed)
                earlier = self.study.of_cell(cell)
                self.study.is_cell(number, cell)
                if earlier is not None and cell not in self._again:
                    self.study.tell_like(number, earlier)
                    in_vain += 1
                    continue
                self._again.discard(cell)
                self._numbers[cell] = number
                chosen[cell] = composed
                asked.add(cell)
                in_vain = 0
            self.exhausted = in_vain >= PATIENCE
        if not chosen:
            return None
        plan = make_plan(list(chosen.values()), self.materials)
        rivals = self.study.feasible(min(self._numbers[cell] for cell in chosen))
        return replace(plan, choice=self.choice, pruning=self._pruning(tuple(rivals)), told=self.told)

    def ended(self, record: Record) -> None:
        """A cell that was proposed has ended.

        Raises:
            InputError: when it has not measured what the search is after.
        """
        from optuna.trial import TrialState

        number = self._numbers.pop(record.cell)
        far = violations(record.metrics, self.conditions)
        values = self._values(record)
        if record.status == "pruned":
            self.study.tell(number, TrialState.PRUNED, far=far)
        elif record.status == "failed" or values is None:
            self.study.tell(number, TrialState.FAIL)
        else:
            self.study.tell(number, TrialState.COMPLETE, values, far)
        if record.status == "done" and values is None:
            missing = next(one.metric for one in self.objectives if one.value(record.metrics) is None)
            there = ", ".join(name for name, metric in record.metrics.items() if metric.half == "report")
            raise InputError(f"the search is after {missing}, which was not measured; there are {there}")

    @property
    def choice(self) -> Choice | None:
        """How the best cell is picked; none where there are several objectives."""
        if len(self.objectives) > 1:
            return None
        return Choice(self.objectives[0].metric, self.objectives[0].lowest, self.conditions)

    def runs(self, cell: str) -> bool:
        """Whether it has asked for a cell that has not ended."""
        return cell in self._numbers

    def cells(self) -> set[str]:
        """All cells that stand behind the study's trials."""
        return self.study.cells()

    def _cell(self, composed: Composed) -> str:
        return plan_cell(composed, self.materials).cell.id

    def _compose(self, overrides: Sequence[str]) -> Composed:
        """A cell, whose record is to hold the rule it was searched by: so `sweeps best` chooses as the search does."""
        composed = compose_jobs(self.loader, self.master, [overrides])[0]
        if self.choice is None:
            return composed
        evaluation = {**composed.values["evaluation"], "choose": self.choice.rule()}
        return replace(composed, values={**composed.values, "evaluation": evaluation})

    def _values(self, record: Record) -> list[float] | None:
        values = [objective.value(record.metrics) for objective in self.objectives]
        return None if None in values else [value for value in values if value is not None]

    @property
    def giving_up(self) -> str:
        """What becomes of cells without hope, for a person."""
        if not self._pruning(()).gives_up:
            return "no cell is given up"
        if not self.name:
            return "cells without hope are given up early"
        told = " and ".join(str(condition) for ceiling in self.ceilings for condition in ceiling)
        return f"a cell beyond every price is given up early ({told})"

    def _pruning(self, rivals: tuple[tuple[float, ...], ...]) -> Pruning:
        """Where nothing is to be given up, still a plan of a search: what was given up earlier stands.

        One of several searches is after a whole frontier: what is dominated in its objectives may still be the best
        at one of the prices.
        """
        if not self.settings.prune:
            return Pruning((), ())
        if self.name:
            return Pruning((), self.conditions, ceilings=self.ceilings)
        return Pruning(self.objectives, self.conditions, rivals)
