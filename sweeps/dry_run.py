"""What a command would do and cost."""

from statistics import median

from rich.table import Table

from sweeps.plan import Plan
from sweeps.progress import OWN_STAGES, duration
from sweeps.records import load_records
from sweeps.said_of_texts import texts_notes
from sweeps.store import Store
from sweeps.tables import console


def show_plan(plan: Plan, following: int = 0) -> None:
    """Prints the cells, the stages to make or reuse, and the estimated time.

    Args:
        plan: of a command.
        following: how many more cells follow these, see `sweeps.following`.
    """
    to = console()
    kept = {record.cell: record for record in load_records(plan.sweep_folder)} if plan.sweep_folder.is_dir() else {}
    named = plan.swept
    table = Table(title=f"{len(plan.experiments)} cells of sweep {plan.sweep}", title_justify="left")
    for column in ("cell", *named, "would"):
        table.add_column(column)
    waiting = 0
    for experiment in plan.experiments:
        keys = experiment.cell.keys()
        record = kept.get(experiment.cell.id)
        runs = not plan.stands(record)
        waiting += runs
        would = "run" if runs or record is None else f"be kept: {record.status}"
        table.add_row(experiment.cell.id, *(str(keys.get(name, "-")) for name in named), would)
    to.print(table)
    for note in texts_notes(plan):
        to.print(note, markup=False, soft_wrap=True)
    _show_stages(plan)
    for said in plan.notes:
        to.print(said, markup=False)
    if following:
        to.print(
            f"{following} more follow these: what they start from, and so their names, is known once these have run"
        )
    to.print(f"{waiting + following} cells would run; {_cost(plan, waiting + following)}; nothing was run")


def _show_stages(plan: Plan) -> None:
    from sweeps.stages import stage_identities

    to, store = console(), Store(plan.store_folder)
    stages: dict[str, dict[str, bool]] = {}
    for experiment in plan.experiments:
        for stage, identity in stage_identities(experiment):
            stages.setdefault(stage, {})[str(store.path(stage, identity))] = store.has(stage, identity)
    for stage, entries in stages.items():
        there = sum(entries.values())
        to.print(f"{stage}: {len(entries) - there} to make, {there} to reuse")


def _cost(plan: Plan, waiting: int) -> str:
    """The median of finished cells on this machine that measured the same things with the same model."""
    first = plan.experiments[0].cell
    earlier = [
        record
        for folder in (plan.output_dir / "runs").glob("*/")
        for record in load_records(folder)
        if record.status == "done" and record.keys.get("model") == first.settings.model.name
    ]
    alike = [sum(record.seconds.get(stage, 0.0) for stage in OWN_STAGES) for record in earlier]
    if not alike:
        return "how long that takes is known after the first cell (no cell of this model has been run here)"
    typical = median(alike)
    return f"about {duration(waiting * typical)}, at {duration(typical)} a cell as in {len(alike)} earlier cells here"
