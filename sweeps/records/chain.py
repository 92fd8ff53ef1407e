"""A cell's chain of interventions, oldest first: read from its folder, and applied."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from surgery.edits.intervention import Intervention, load_intervention
from surgery.errors import InputError
from sweeps.records.record import EARLIER, EDIT

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def read_chain(cell_folder: Path) -> list[Intervention]:
    """What was applied to the base when the cell was measured: what its `composition` named, then its own edit."""
    files = [cell_folder / EARLIER.format(number) for number in range(1, 100)]
    return [load_intervention(file) for file in (*filter(Path.is_file, files), cell_folder / EDIT)]


def read_named(paths: Sequence[str]) -> list[Intervention]:
    """The chain that a composition names: the whole chain of each cell's folder, what each file holds.

    Raises:
        InputError: for a path that is neither.
    """
    chain: list[Intervention] = []
    for path in (Path(text).expanduser() for text in paths):
        if (path / EDIT).is_file():
            chain += read_chain(path)
        elif path.is_file():
            chain.append(load_intervention(path))
        else:
            raise InputError(f"composition: '{path}' is neither the folder of a finished cell nor the file of an edit")
    return chain


@contextmanager
def applied(chain: Sequence[Intervention], model: "PreTrainedModel") -> Iterator[None]:
    """The model with the whole chain for the body of a `with`."""
    with ExitStack() as stack:
        for one in chain:
            stack.enter_context(one.applied_to(model))
        yield
