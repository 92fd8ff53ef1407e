"""The memory of a search: an Optuna study in a file of the sweep's folder, shared by any number of processes."""

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from filelock import FileLock, Timeout

from sweeps.cell.canonical_json import canonical_json
from sweeps.records.record import lock_file
from sweeps.results.giving_up import Objective
from sweeps.search.journal import open_journal
from sweeps.search.search_space import Domain, Numbers, Place, SearchSpace

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, TrialState

JOURNAL = "search.journal"
LOCK = "search"
# Each trial has a sampler of its own seed; those of two searches are this far apart.
SEEDS_APART = 1_000_003
# What a trial remembers: the overrides it was made with, its cell, who runs it, and whether it stands for a cell that
# was there already.
OVERRIDES, CELL, OWNER, IMPORTED = "overrides", "cell", "owner", "imported"


class Study:
    """Trials on disk.

    A trial belongs to the process that asked for it, which holds a lock as long as it lives. What a process that
    died has left is taken over by the next that asks.

    Args:
        folder: of the sweep.
        space, objectives: what the study is about; another space or goal is another study in the same file.
        sampler: makes a sampler from a seed. It is made anew for each trial, so that a study which was stopped goes
            on as if it had not been.
        seed: of the whole search.
        lag: a trial is named from what those say that were asked for at least so many places before it, however many
            more have ended. So what it is does not depend on which of those that run at once ends first.
    """

    def __init__(
        self,
        folder: Path,
        space: SearchSpace,
        objectives: Sequence[Objective],
        sampler: "Callable[[int], optuna.samplers.BaseSampler]",
        seed: int,
        lag: int,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._folder = folder
        self._space = space
        self._make_sampler = sampler
        self._seed = seed
        self._lag = lag
        self._owner = f"search-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
        self._alive = FileLock(lock_file(folder, self._owner))
        self._alive.acquire()
        identity = [space.describe(), space.fixed, [str(one) for one in objectives], seed]
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(open_journal(folder / JOURNAL)),
            study_name=sha256(canonical_json(identity).encode()).hexdigest()[:12],
            directions=["minimize" if one.lowest else "maximize" for one in objectives],
            # Names nothing itself.
            sampler=optuna.samplers.RandomSampler(seed),
            load_if_exists=True,
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from asking meanwhile, so that together they ask for no more than they should."""
        with FileLock(lock_file(self._folder, LOCK)):
            yield

    def close(self) -> None:
        """Lets others take over what has not ended."""
        self._alive.release()
        Path(self._alive.lock_file).unlink(missing_ok=True)

    def trials(self) -> "list[FrozenTrial]":
        """All trials."""
        return self._study.get_trials(deepcopy=False)

    def asked(self) -> set[str]:
        """The cells that searches have asked for; those that were there before are not among them."""
        return {trial.user_attrs[CELL] for trial in self._placed() if IMPORTED not in trial.user_attrs}

    def cells(self) -> set[str]:
        """All cells that stand behind trials."""
        return {trial.user_attrs[CELL] for trial in self._placed()}

    def of_cell(self, cell: str) -> "FrozenTrial | None":
        """The last trial of a cell; None when there is none."""
        return next((trial for trial in reversed(self.trials()) if trial.user_attrs.get(CELL) == cell), None)

    def feasible(self, number: int) -> list[tuple[float, ...]]:
        """The values of the trials known to one of this number that ended well and meet the conditions."""
        from optuna.trial import TrialState

        done = [trial for trial in self._known(number) if trial.state == TrialState.COMPLETE]
        return [tuple(t.values) for t in done if all(far <= 0 for far in t.constraints.values())]

    def waits(self) -> bool:
        """Whether a trial that the next one is to know still runs in this process."""
        running = [trial for trial in self._known() if not trial.state.is_finished()]
        return any(trial.user_attrs.get(OWNER) == self._owner for trial in running)

    def ask(self) -> tuple[int, list[str]]:
        """A new trial: its number, and the overrides of its cell."""
        import optuna
        from optuna.trial import TrialState, create_trial

        if self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            again = self._study.ask()
            overrides = self._space.suggest(again)
            again.set_user_attr(OVERRIDES, overrides)
            again.set_user_attr(OWNER, self._owner)
            return again.number, overrides
        sampler = self._make_sampler(self._seed * SEEDS_APART + len(self._placed()))
        past = optuna.create_study(directions=self._study.directions, sampler=sampler)
        past.add_trials([trial for trial in self._known() if trial.state.is_finished()])
        named = past.ask()
        overrides = self._space.suggest(named)
        found = past.trials[-1]
        self._study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=found.params,
                distributions=found.distributions,
                system_attrs=found.system_attrs,
                user_attrs={OVERRIDES: overrides, OWNER: self._owner},
            )
        )
        return self.trials()[-1].number, overrides

    def ask_again(self, trial: "FrozenTrial") -> None:
        """Has a trial that ended be asked for once more, before any new one."""
        self._study.enqueue_trial(trial.params)

    def is_cell(self, number: int, cell: str) -> None:
        """Says which cell a trial is."""
        self._note(number, CELL, cell)

    def orphans(self) -> "list[FrozenTrial]":
        """Trials of processes that are gone; they are ours from now on. Those without a cell have failed."""
        from optuna.trial import TrialState

        found = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            owner = trial.user_attrs.get(OWNER)
            if owner == self._owner or (owner is not None and self._lives(owner)):
                continue
            if CELL not in trial.user_attrs:
                self.tell(trial.number, TrialState.FAIL)
                continue
            self._note(trial.number, OWNER, self._owner)
            found.append(trial)
        return found

    def tell(
        self,
        number: int,
        state: "TrialState",
        values: Sequence[float] | None = None,
        far: Mapping[str, float] | None = None,
    ) -> None:
        """A trial has ended: its values where it is complete, and how far it is from each condition."""
        trial = self._trial(number)
        for condition, value in (far or {}).items():
            trial.set_constraint(condition, value)
        self._study.tell(number, values, state)

    def tell_like(self, number: int, other: "FrozenTrial") -> None:
        """A trial is a cell that another one was: it ends as that did, or as failed where that is not known to it."""
        from optuna.trial import TrialState

        known = any(trial.number == other.number for trial in self._known(number))
        state = other.state if known and other.state.is_finished() else TrialState.FAIL
        self.tell(number, state, other.values if state == TrialState.COMPLETE else None, other.constraints)

    def add(self, cell: str, place: Place, values: Sequence[float], far: Mapping[str, float]) -> None:
        """Takes a cell that was there before as a trial."""
        from optuna.trial import create_trial

        self._study.add_trial(
            create_trial(
                params={name: value for name, (_, value) in place.parameters.items()},
                distributions={name: _distribution(domain) for name, (domain, _) in place.parameters.items()},
                values=list(values),
                user_attrs={CELL: cell, IMPORTED: True},
                constraints=dict(far),
            )
        )

    def _placed(self) -> "list[FrozenTrial]":
        """Those that have a cell, in the order they were asked for; what a kill cut off before counts for nothing."""
        return [trial for trial in self.trials() if CELL in trial.user_attrs]

    def _known(self, number: int | None = None) -> "list[FrozenTrial]":
        """What the trial of this number, else the next one, is to know, of which some may still run."""
        placed = self._placed()
        place = len(placed) if number is None else sum(trial.number < number for trial in placed)
        return placed[: max(0, place - self._lag + 1)]

    def _note(self, number: int, name: str, value: str) -> None:
        self._trial(number).set_user_attr(name, value)

    def _trial(self, number: int) -> "optuna.Trial":
        import optuna

        return optuna.Trial(self._study, self.trials()[number]._trial_id)

    def _lives(self, owner: str) -> bool:
        try:
            with FileLock(lock_file(self._folder, owner), blocking=False):
                return False
        except Timeout:
            return True


def _distribution(domain: Domain) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    if not isinstance(domain, Numbers):
        return distributions.CategoricalDistribution(domain.values)
    if domain.whole:
        step = 1 if domain.step is None else int(domain.step)
        return distributions.IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return distributions.FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
