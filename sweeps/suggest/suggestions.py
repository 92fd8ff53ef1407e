"""What alphas to try: a bracket for each layer and region size of a command."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from sweeps.cell.canonical_json import canonical_json
from sweeps.plan.experiment import Experiment
from sweeps.run.workbench import Workbench
from sweeps.store.store import Store
from sweeps.suggest.bracket import RISES, Bracket
from sweeps.suggest.bracket_stage import NAME, bracket_identity, bracket_stage, read_bracket, require_alpha_of
from sweeps.terminal.cell_tables import console


@dataclass(frozen=True)
class Suggestion:
    """The bracket of cells that differ in the size of alpha alone, and one of them."""

    experiment: Experiment
    bracket: Bracket


def not_found_yet(experiments: Sequence[Experiment], store_folder: Path) -> list[Experiment]:
    """Of cells that differ in more than the size of alpha, those whose bracket is not in the store."""
    store = Store(store_folder)
    return [one for one in _bracketed(experiments) if store.find(NAME, bracket_identity(one)) is None]


def suggestions(experiments: Sequence[Experiment], store_folder: Path, progress: bool = False) -> list[Suggestion]:
    """The brackets of some cells, from the store where they are there; else the model is loaded, and let go again.

    Args:
        experiments: the cells; those that differ in the size of alpha alone have one bracket.
        store_folder: where brackets, and what they rest on, are kept.
        progress: show a bar for each that is searched for; else one line.

    Raises:
        InputError: for a method without an alpha.
    """
    cells = _bracketed(experiments)
    for one in cells:
        require_alpha_of(one.cell)
    if missing := not_found_yet(cells, store_folder):
        _find(missing, Store(store_folder), progress)
    store = Store(store_folder)
    return [Suggestion(one, read_bracket(_there(store, one))) for one in cells]


def alpha_range(found: Sequence[Suggestion]) -> tuple[float, float]:
    """The alphas from where perplexity has hardly risen to where it has risen a lot: the first and last of `RISES`.

    Of several brackets, from the smallest to the largest. Where no alpha that was tried shows such a rise, the smallest
    or the largest one that was tried stands for it.

    Args:
        found: at least one, all of one sign.
    """
    lowest, highest = RISES[0], RISES[-1]
    brackets = [one.bracket for one in found]
    low = min((one.below(lowest) or min(one.readings, key=abs) for one in brackets), key=abs)
    high = max((one.below(highest) or max(one.readings, key=abs) for one in brackets), key=abs)
    return min(low, high), max(low, high)


def _bracketed(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The first cell of each bracket."""
    found: dict[str, Experiment] = {}
    for one in experiments:
        found.setdefault(canonical_json(bracket_identity(one)), one)
    return list(found.values())


def _there(store: Store, experiment: Experiment) -> Path:
    place = store.find(NAME, bracket_identity(experiment))
    assert place is not None, "it was made just now"
    return place


def _find(missing: Sequence[Experiment], store: Store, progress: bool) -> None:
    bench, to = Workbench(store, missing, progress), console(stderr=True)
    for number, experiment in enumerate(missing, 1):
        cell = experiment.cell
        title = f"layer={cell.layer} top_k={cell.top_k}" if cell.settings.method.needs.region else f"layer={cell.layer}"
        title += f", {number} of {len(missing)}"
        if not progress:
            to.print(f"looking for alphas by perplexity: {title}", markup=False, highlight=False, soft_wrap=True)
        with tqdm(desc=title, unit="alpha", disable=not progress, leave=False) as bar:

            def on_reading(alpha: float, bar: "tqdm[None]" = bar) -> None:
                bar.set_postfix_str(f"alpha={alpha:g}")
                bar.update()

            bench.take(bracket_stage(bench, experiment, on_reading))
    # Who runs cells next loads the model again, most often in a process of its own: two may not fit.
    del bench
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
