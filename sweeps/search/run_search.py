"""Runs a search: keeps an engine busy with cells that a sampler asks for."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from sweeps.conduct.conductor import Conductor
from sweeps.conduct.dry_run import estimate
from sweeps.conduct.run_plan import Outcome, start
from sweeps.engines.protocol import Engine
from sweeps.records.record import Record
from sweeps.results.best_cell import within_limits
from sweeps.results.pareto import Direction, pareto_front
from sweeps.results.pooling import Pooled, pool
from sweeps.search.search import Search
from sweeps.store.full_disk import disk_full, is_disk_full
from sweeps.terminal.cell_tables import console
from sweeps.terminal.summary import show, show_front


def run_search(search: Search, engine: Engine) -> Outcome:
    """Asks, runs and tells until as many cells were asked for as the settings say, and prints what came out.

    Raises:
        InputError: when nothing more can be measured or written; what has ended is kept.
    """
    try:
        conductor = start(replace(search.first, experiments=()), engine, search.settings.n_trials)
        search.open_study()
        try:
            _run(search, conductor)
        finally:
            conductor.close()
            search.study.close()
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(search.first.output_dir) from error
        raise
    return _tell(search, conductor.records)


def _run(search: Search, conductor: Conductor) -> None:
    search.know(conductor.records.values())
    conductor.finished(search.study.asked(), search.cells())
    batch = search.settings.batch
    while True:
        room = conductor.slots * batch - conductor.open
        plan = search.propose(room) if room >= batch else None
        if plan is not None:
            conductor.submit(plan)
            for experiment in plan.experiments:
                # Its process died between the cell's record and the study.
                if plan.stands(conductor.records.get(experiment.cell.id)):
                    search.ended(conductor.records[experiment.cell.id])
        elif not conductor.open:
            return
        for record in conductor.wait():
            search.ended(record)
            if record.status == "failed" and search.first.fail_fast:
                return


def _tell(search: Search, records: dict[str, Record]) -> Outcome:
    ours = tuple(record for cell, record in records.items() if cell in search.cells())
    to = console()
    show(ours, search.choice, search.first.sweep_folder, to)
    if len(search.objectives) > 1:
        names = [objective.metric for objective in search.objectives]
        show_front(_front(search, ours), names, to)
    if search.exhausted:
        to.print("the sampler named nothing but cells that it had named before: the search ended early")
    return Outcome(ours, tuple(record.cell for record in ours if record.status == "failed"))


def _front(search: Search, records: Sequence[Record]) -> list[Pooled]:
    """The cells that no other is better than in every objective, of those that meet the conditions with whole text."""
    qualified = within_limits(pool(records, search.first.sweep_folder), search.conditions)
    names = [objective.metric for objective in search.objectives]
    directions: list[Direction] = ["minimize" if objective.lowest else "maximize" for objective in search.objectives]
    front = pareto_front([row.metrics for row in qualified], names, directions)
    return [qualified[index] for index in front]


def show_search(search: Search, to: Console) -> None:
    """Prints what would be searched; asks for nothing."""
    settings = search.settings
    to.print(f"search of sweep {search.first.sweep}", markup=False, style="bold")
    table = Table()
    for column in ("key", "from", "where"):
        table.add_column(column)
    for row in search.space.describe():
        table.add_row(*row)
    to.print(table)
    to.print(f"after {' and '.join(map(str, search.objectives))}, on the selection half", markup=False)
    for condition in search.conditions:
        to.print(f"  with {condition}", markup=False)
    given_up = "cells without hope are given up early" if settings.prune else "no cell is given up"
    asked = search.first.experiments
    told = estimate([asked[index % len(asked)] for index in range(settings.n_trials)], search.first.output_dir, {})
    to.print(
        f"{settings.n_trials} cells in all, sampler {settings.sampler}, {given_up}; {told}; nothing was run",
        soft_wrap=True,
    )
