"""What `hydra/sweeper=optuna` and `hydra/sweeper=methods` do with what was asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from surgery.errors import InputError
from sweeps.commands.cells_failed import CellsFailed
from sweeps.commands.methods_command import show_methods
from sweeps.equal_price.comparison import compared_methods
from sweeps.plan.materials import Materials
from sweeps.search.method_searches import method_searches
from sweeps.search.run_search import run_search, run_searches, show_search
from sweeps.search.search import Search, SearchSettings
from sweeps.search.search_space import SearchSpace
from sweeps.search.suggested_range import with_suggested_alpha
from sweeps.suggest.suggestion_table import suggest
from sweeps.terminal.cell_tables import console
from sweeps.terminal.library_output import quiet_libraries

if TYPE_CHECKING:
    from sweeps.executors.protocol import Executor


class Launcher(Protocol):
    """What a search needs of a launcher."""

    here: bool

    def make_executor(self) -> "Executor":
        """The executor that runs the cells."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> object:
        """Runs cells that are known beforehand."""


def search(
    overrides: Sequence[Override],
    when: Any,
    settings: Mapping[str, Any],
    loader: Any,
    master: DictConfig,
    launcher: Launcher,
) -> None:
    """Plans and runs a search; where nothing is left to choose, the one cell.

    Args:
        overrides: of the command, and of the sweeper's `params`.
        when: conditional ranges, see `SearchSpace.parse`.
        settings: the sweeper's other keys.
        loader, master: of Hydra.
        launcher: runs the cells.

    Raises:
        InputError: for anything that is wrong before a model is loaded.
        CellsFailed: when the command ended with failed cells.
    """
    materials = Materials()
    parsed = SearchSpace.parse(overrides, _plain(when))
    space = with_suggested_alpha(parsed, loader, master, materials, launcher.here)
    if space is None:
        return
    if not space.domains and not space.conditions:
        launcher.launch(space.ends(), initial_job_idx=0)
        return
    found = Search.of(SearchSettings(**_plain(dict(settings))), space, loader, master, materials)
    if _would_run([found], launcher) and run_search(found, launcher.make_executor()).failed:
        raise CellsFailed


def search_methods(
    overrides: Sequence[Override],
    spaces: Mapping[str, Sequence[Override]],
    settings: Mapping[str, Any],
    loader: Any,
    master: DictConfig,
    launcher: Launcher,
) -> None:
    """Plans and runs a search a method, and prints how the methods compare at an equal price.

    Args:
        overrides: of the command, and of the sweeper's `params`.
        spaces: of each method, parsed.
        settings: the sweeper's other keys.
        loader, master: of Hydra.
        launcher: runs the cells.

    Raises:
        InputError, CellsFailed: as `search` does.
    """
    found = method_searches(overrides, spaces, SearchSettings(**_plain(dict(settings))), loader, master)
    if not _would_run(found, launcher):
        return
    outcome, plan = run_searches(found, launcher.make_executor()), found[0].first
    try:
        show_methods(compared_methods(outcome.records, plan.sweep_folder, plan.choice), console())
        console().print(f"`sweeps methods {plan.sweep}` shows this again, with figures", markup=False, soft_wrap=True)
    except InputError as error:
        console(stderr=True).print(f"methods are not compared: {error}", markup=False, style="yellow", soft_wrap=True)
    if outcome.failed:
        raise CellsFailed


def _would_run(searches: Sequence[Search], launcher: Launcher) -> bool:
    """Whether anything is to be run; where not, prints what would be."""
    for one in searches:
        one.require_measured()
        if launcher.here:
            one.first.require_devices()
    first = searches[0].first
    if first.dry_run:
        show_search(searches, console())
        return False
    quiet_libraries()
    if first.suggest:
        suggest([one for search in searches for one in search.first.experiments], first.store_folder, launcher.here)
        return False
    return True


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(OmegaConf.create(value)) if isinstance(value, dict | DictConfig) else value
