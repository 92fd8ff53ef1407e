"""The stage that brackets a cell's alpha, kept in the store: whoever asks again has the same bracket."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from evaluation.perplexity import Perplexity, perplexity_of
from surgery.edits.edit import Edit
from surgery.edits.intervention import Intervention
from surgery.errors import InputError
from surgery.states.text_batches import reading_of_texts
from surgery.tokens.encoding import encode
from sweeps.cell.cell import Cell
from sweeps.cell.method import method_module
from sweeps.plan.experiment import Experiment
from sweeps.records.chain import applied
from sweeps.run.probe_stage import behavior_probe, direction_probe
from sweeps.run.ranking_stage import row_ranking
from sweeps.run.region_choice import choose_region
from sweeps.run.stage import Stage
from sweeps.run.states_stage import hidden_states
from sweeps.run.workbench import CellWork, Workbench
from sweeps.suggest.bracket import Bracket, find_bracket

NAME, FILE = "bracket", "bracket.json"
# Raised when the same cell would be bracketed otherwise.
VERSION = 1
# Of the text whose perplexity is read.
TOKENS = 4096
# A step of this many median norms of the edited rows is tried first; of other methods an alpha of this size.
FIRST_STEP = FIRST_ALPHA = 1.0


def bracket_identity(experiment: Experiment) -> dict[str, Any]:
    """All that a bracket depends on: what the cell's id is made of but for the size of alpha, and the text."""
    cell = experiment.cell
    kept = {key: value for key, value in cell.identity().items() if key not in ("alpha", "evaluation")}
    return kept | {"bracket": VERSION, "sign": _sign(cell), "text": _text_identity(experiment), "tokens": TOKENS}


def require_alpha_of(cell: Cell) -> None:
    """Raises InputError for a method that no alpha says how far to go with."""
    if cell.settings.method.needs.system:
        raise InputError(f"method={cell.settings.method.name} has no alpha, so there is none to suggest")


def read_bracket(folder: Path) -> Bracket:
    """What the store keeps of a bracket."""
    return Bracket.from_json(json.loads((folder / FILE).read_text(encoding="utf-8")))


def bracket_stage(
    bench: Workbench, experiment: Experiment, on_reading: Callable[[float], None] = lambda alpha: None
) -> Stage[Bracket]:
    """The bracket of a cell's alpha.

    Args:
        bench: with the model.
        experiment: the cell; of its alpha the sign counts.
        on_reading: called with each alpha that is about to be read.
    """

    def make(folder: Path) -> None:
        found = _bracket(bench, experiment, on_reading)
        (folder / FILE).write_text(json.dumps(found.to_json()), encoding="utf-8")

    return Stage(NAME, bracket_identity(experiment), make, read_bracket)


def _bracket(bench: Workbench, experiment: Experiment, on_reading: Callable[[float], None]) -> Bracket:
    work = CellWork(bench, experiment)
    intervention = _interventions(work)
    told, pieces = _text(work)
    sign = _sign(work.cell)

    def read(alpha: float) -> float:
        on_reading(alpha)
        with applied(experiment.earlier, work.model), intervention(alpha).applied_to(work.model):
            return perplexity_of(*work.loaded, pieces)

    unit = intervention(sign * FIRST_ALPHA)
    with work.subject():
        base = perplexity_of(*work.loaded, pieces)
        step = unit.relative_step(work.model) / FIRST_ALPHA if isinstance(unit, Edit) else None
    first = float(f"{FIRST_STEP / step:.3g}") if step else FIRST_ALPHA
    scored = sum(len(piece) - 1 for piece in pieces)
    return Bracket(base, find_bracket(read, base, sign * first), told, scored, step)


def _interventions(work: CellWork) -> Callable[[float], Intervention]:
    """What the cell's method makes at an alpha; probe, region and whatever is trained are the same at each."""
    cell, method = work.cell, work.cell.settings.method
    states = hidden_states(work)
    behavior = behavior_probe(work, states)
    probe = direction_probe(work, states, behavior)
    work.let_go(states)
    work.require_same_model()
    region = choose_region(work, row_ranking(work, behavior)) if method.needs.region else None

    def make(alpha: float) -> Intervention:
        at_alpha = replace(cell, settings=replace(cell.settings, alpha=alpha))
        made: Intervention = method_module(method.name).make(
            CellWork(work.bench, replace(work.experiment, cell=at_alpha)), probe, region
        )
        return made

    return make


def _sign(cell: Cell) -> int:
    return 1 if cell.settings.alpha > 0 else -1


def _perplexity(experiment: Experiment) -> Perplexity | None:
    """The perplexity that the cell measures: on the selection half, by which cells are chosen, where it does that."""
    there = [one for one in experiment.evaluators.values() if isinstance(one, Perplexity)]
    return next((one for one in there if one.half == "selection"), next(iter(there), None))


def _text_identity(experiment: Experiment) -> Mapping[str, Any]:
    found = _perplexity(experiment)
    if found is not None:
        return {"perplexity": dict(found.identity()) | {"half": None, "tokens_per_batch": None}}
    return {"kept": experiment.cell.texts_identity()}


def _text(work: CellWork) -> tuple[str, list[list[int]]]:
    """What perplexity is read of, in words, and its token ids in pieces: of the behavior's texts to keep where the cell
    measures none.
    """
    model, tokenizer = work.loaded
    found = _perplexity(work.experiment)
    if found is not None:
        return f"perplexity/{next(iter(found.texts))}", found.beginning(model, tokenizer, TOKENS)
    texts, behavior = work.experiment.texts, work.cell.settings.behavior
    kept = [text for text, label in zip(texts.texts, texts.labels, strict=True) if label == 0]
    reading = reading_of_texts(model, behavior.max_length, behavior.chat, group="behavior.")
    encoded = encode(model, tokenizer, kept, reading).ids
    before = accumulate((len(ids) for ids in encoded), initial=0)
    pieces = [ids for ids, start in zip(encoded, before, strict=False) if start < TOKENS]
    return f"the behavior's texts of class {texts.classes[0]}", pieces
