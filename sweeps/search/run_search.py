"""Runs a search: keeps an executor busy with cells that a sampler asks for."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from sweeps.conduct.conductor import Conductor
from sweeps.conduct.dry_run import estimate
from sweeps.conduct.run_plan import Outcome, start
from sweeps.executors.protocol import Executor
from sweeps.plan.plan import Plan
from sweeps.plan.text_notes import texts_notes
from sweeps.records.record import Record
from sweeps.results.best_cell import within_limits
from sweeps.results.pareto import Direction, pareto_front
from sweeps.results.pooling import Pooled, pool
from sweeps.search.search import Search
from sweeps.store.full_disk import disk_full, is_disk_full
from sweeps.store.store import Store
from sweeps.suggest.planned_step import PlannedSteps
from sweeps.terminal.cell_tables import console
from sweeps.terminal.printed_table import print_table
from sweeps.terminal.summary import show, show_commands, show_front
from sweeps.terminal.sweep_log import sweep_log


def run_search(search: Search, executor: Executor) -> Outcome:
    """Asks, runs and tells until as many cells were asked for as the settings say, and prints what came out.

    Raises:
        InputError: when nothing more can be measured or written; what has ended is kept.
    """
    return _tell(search, _run([search], executor))


def run_searches(searches: Sequence[Search], executor: Executor) -> Outcome:
    """Runs searches of one sweep one after another, in the same processes, so that all share the models in them.

    The cells of a search begin before those of the last have ended, where there is a place for them.

    Raises:
        InputError: see `run_search`.
    """
    first = searches[0].first
    records = _run(searches, executor)
    ours = tuple(record for cell, record in records.items() if any(cell in search.cells() for search in searches))
    show(ours, None, first.sweep_folder, console())
    return Outcome(ours, tuple(record.cell for record in ours if record.status == "failed"))


def _run(searches: Sequence[Search], executor: Executor) -> dict[str, Record]:
    """All records of the sweep once the searches have ended."""
    first = searches[0].first
    opened: list[Search] = []
    try:
        with sweep_log(first.sweep_folder):
            conductor = start(replace(first, experiments=()), executor, sum(one.settings.n_trials for one in searches))
            try:
                for search in searches:
                    search.open_study(conductor.slots * search.settings.batch)
                    opened.append(search)
                _ask_and_hear(searches, conductor)
            finally:
                conductor.close()
                for search in opened:
                    search.study.close()
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(first.output_dir) from error
        raise
    return conductor.records


def _ask_and_hear(searches: Sequence[Search], conductor: Conductor) -> None:
    for search in searches:
        search.know(conductor.records.values())
    again = {"failed"} if searches[0].first.retry_failed else set()
    # A cell that ran when the process was killed was asked for, too, and is yet to end.
    ended = {cell for cell, record in conductor.records.items() if record.status not in again}
    asked = set().union(*(search.study.asked() for search in searches))
    conductor.finished(asked & ended, set().union(*(search.cells() for search in searches)))
    batch = searches[0].settings.batch
    while True:
        room = conductor.slots * batch - conductor.open
        found = _proposal(searches, room) if room >= batch else None
        if found is not None:
            search, plan = found
            conductor.submit(plan)
            for experiment in plan.experiments:
                # Its process died between the cell's record and the study.
                if plan.stands(conductor.records.get(experiment.cell.id)):
                    search.ended(conductor.records[experiment.cell.id])
        elif not conductor.open:
            return
        for record in conductor.wait():
            next(search for search in searches if search.runs(record.cell)).ended(record)
            if record.status == "failed" and searches[0].first.fail_fast:
                return


def _proposal(searches: Sequence[Search], room: int) -> tuple[Search, Plan] | None:
    """What the first search that has cells left asks for."""
    for search in searches:
        # One whose sampler has named all there is would only name it again.
        if not search.exhausted and (plan := search.propose(room)) is not None:
            return search, plan
    return None


def _tell(search: Search, records: dict[str, Record]) -> Outcome:
    ours = tuple(record for cell, record in records.items() if cell in search.cells())
    to = console()
    chosen = show(ours, search.choice, search.first.sweep_folder, to)
    if len(search.objectives) > 1:
        names = [objective.metric for objective in search.objectives]
        show_front(_front(search, ours), names, to)
    if search.exhausted:
        to.print("the sampler named nothing but cells that it had named before: the search ended early")
    show_commands(chosen, search.first.sweep_folder, to)
    return Outcome(ours, tuple(record.cell for record in ours if record.status == "failed"))


def _front(search: Search, records: Sequence[Record]) -> list[Pooled]:
    """The cells that no other is better than in every objective, of those that meet the conditions with whole text."""
    qualified = within_limits(pool(records, search.first.sweep_folder), search.conditions)
    names = [objective.metric for objective in search.objectives]
    directions: list[Direction] = ["minimize" if objective.lowest else "maximize" for objective in search.objectives]
    front = pareto_front([row.metrics for row in qualified], names, directions)
    return [qualified[index] for index in front]


def show_search(searches: Sequence[Search], to: Console) -> None:
    """Prints what would be searched; asks for nothing.

    Args:
        searches: of one sweep.
        to: where.
    """
    first = searches[0]
    to.print(f"search of sweep {first.first.sweep}", markup=False, style="bold")
    for search in searches:
        table = Table(title=search.name or None, title_justify="left")
        for column in ("key", "from", "where"):
            table.add_column(column)
        for row in search.space.describe():
            table.add_row(*row)
        if search.space.domains or search.space.conditions:
            print_table(table, to)
        else:
            to.print(f"{search.name}: one cell", markup=False)
    for note in [*texts_notes(first.first), *first.first.notes]:
        to.print(note, markup=False, soft_wrap=True)
    to.print(f"after {' and '.join(map(str, first.objectives))}, on the selection half", markup=False)
    for condition in first.conditions:
        to.print(f"  with {condition}", markup=False)
    for line in _steps(first):
        to.print(line, markup=False, soft_wrap=True)
    counts = [search.settings.n_trials for search in searches]
    asked = [s.first.experiments[i % len(s.first.experiments)] for s in searches for i in range(s.settings.n_trials)]
    told = estimate(asked, first.first.output_dir, {})
    to.print(
        f"{sum(counts)} cells in all, sampler {first.settings.sampler}, {first.giving_up}; {told}; nothing was run",
        soft_wrap=True,
    )


def _steps(search: Search) -> list[str]:
    """How large a step alpha is at the ends of the ranges; nothing where its range is not known yet."""
    if "alpha" not in {*search.space.fixed, *search.space.domains}:
        return []
    ends = search.first.experiments
    steps = PlannedSteps(ends, search.materials.models, Store(search.first.store_folder))
    known = [step for one in ends if (step := steps.of(one)) is not None]
    told = [f"at the ends of the ranges steps are from {min(known):.3g} to {max(known):.3g}"] if known else []
    return [*told, *steps.notes()]
