"""What `hydra/sweeper=optuna` does with what was asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sweeps.search.search_space import SearchSpace

if TYPE_CHECKING:
    from sweeps.engines.protocol import Engine


class Launcher(Protocol):
    """What a search needs of a launcher."""

    here: bool

    def make_engine(self) -> "Engine":
        """The engine that runs the cells."""

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
    space = SearchSpace.parse(overrides, _plain(when))
    if not space.domains and not space.conditions:
        launcher.launch(space.ends(), initial_job_idx=0)
        return
    from sweeps.commands.surgery_command import CellsFailed
    from sweeps.search.run_search import run_search, show_search
    from sweeps.search.search import Search, SearchSettings
    from sweeps.terminal.cell_tables import console

    found = Search.of(SearchSettings(**_plain(dict(settings))), space, loader, master)
    if launcher.here:
        found.first.require_devices()
    if found.first.dry_run:
        show_search(found, console())
        return
    from sweeps.terminal.library_output import quiet_libraries

    quiet_libraries()
    if run_search(found, launcher.make_engine()).failed:
        raise CellsFailed


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(OmegaConf.create(value)) if isinstance(value, dict | DictConfig) else value
