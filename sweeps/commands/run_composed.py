"""Composed cells planned and run, those that follow others once these are there."""

from collections.abc import Callable, Sequence

from sweeps.commands.cells_failed import CellsFailed
from sweeps.conduct.dry_run import show_plan
from sweeps.conduct.run_plan import run_plan
from sweeps.config.composition import Composed
from sweeps.config.followed_cells import first_and_following, following, on_its_own
from sweeps.engines.local import local_engine
from sweeps.engines.protocol import Engine
from sweeps.plan.materials import Materials
from sweeps.plan.planner import make_plan, plan_cell
from sweeps.suggest.suggestion_table import suggest
from sweeps.terminal.library_output import quiet_libraries


def run_composed(composed: Sequence[Composed], make_engine: Callable[[], Engine], here: bool = True) -> None:
    """Plans and runs composed cells; those that follow others once these are there.

    Args:
        composed: the cells.
        make_engine: makes what runs them.
        here: whether that is on this machine, which then has to have the devices they name.

    Raises:
        InputError: for anything that is wrong before a model is loaded.
        CellsFailed: when the command ended with failed cells.
    """
    materials = Materials()
    first, later = first_and_following(composed)
    plan = make_plan(first, materials)
    if later:
        # Whatever else is wrong with them is told now, not when the first have run.
        make_plan([on_its_own(one) for one, _ in later], materials)
    if here:
        plan.require_devices()
    if plan.dry_run:
        show_plan(plan, materials.models, following=len(later))
        return
    quiet_libraries()
    materials.keep.move_to(plan.store_folder)
    if plan.suggest:
        suggest(plan.experiments, plan.store_folder, may_load=here)
        return
    if run_plan(plan, make_engine()).failed:
        raise CellsFailed
    if later:
        cells = [plan_cell(followed, materials).cell.id for _, followed in later]
        then = [following(one, plan.sweep_folder / cell) for (one, _), cell in zip(later, cells, strict=True)]
        if run_plan(make_plan([*first, *then], materials), make_engine()).failed:
            raise CellsFailed


def run_here(one: Composed) -> None:
    """Runs a single cell in this process; raises as `run_composed` does."""
    run_composed([one], lambda: local_engine(0, 1))
