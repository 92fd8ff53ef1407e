"""Composed cells planned and run, those that follow others once these are there."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sweeps.commands.cells_failed import CellsFailed
from sweeps.conduct.run_plan import run_plan
from sweeps.config.composition import Composed
from sweeps.config.followed_cells import first_and_following, following, on_its_own
from sweeps.executors.local import local_executor
from sweeps.executors.protocol import Executor
from sweeps.plan.materials import Materials
from sweeps.plan.planner import make_plan, plan_cell
from sweeps.terminal.library_output import quiet_libraries


def run_composed(composed: Sequence[Composed], make_executor: Callable[[], Executor], here: bool = True) -> None:
    """Plans and runs composed cells; those that follow others once these are there.

    Args:
        composed: the cells.
        make_executor: makes what runs them.
        here: whether that is on this machine, which then has to have the devices they name.

    Raises:
        InputError: for anything that is wrong before a model is loaded.
        CellsFailed: when the command ended with failed cells.
    """
    materials = Materials()
    first, later = first_and_following(composed)
    plan = make_plan(first, materials)
    if (asked := len(first)) > (different := len(plan.experiments)):
        said = f"{asked} cells are asked for, {different} of them different: what else was swept changes nothing here"
        plan = replace(plan, notes=(*plan.notes, said))
    if later:
        # Whatever else is wrong with them is told now, not when the first have run.
        make_plan([on_its_own(one) for one, _ in later], materials)
    if here:
        plan.require_devices()
    if plan.dry_run:
        from sweeps.conduct.dry_run import show_plan  # torch and what reads models take seconds to import

        show_plan(plan, materials.models, following=len(later))
        return
    quiet_libraries()
    materials.keep.move_to(plan.store_folder)
    if plan.suggest:
        from sweeps.suggest.suggestion_table import suggest

        suggest(plan.experiments, plan.store_folder, may_load=here)
        return
    if run_plan(plan, make_executor()).failed:
        raise CellsFailed
    if later:
        cells = [plan_cell(followed, materials).cell.id for _, followed in later]
        then = [following(one, plan.sweep_folder / cell) for (one, _), cell in zip(later, cells, strict=True)]
        if run_plan(make_plan([*first, *then], materials), make_executor()).failed:
            raise CellsFailed


def run_here(one: Composed) -> None:
    """Runs a single cell in this process; raises as `run_composed` does."""
    run_composed([one], lambda: local_executor(0, 1))
