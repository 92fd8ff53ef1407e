"""Measurements: of the unedited model once for all cells that share it, of the edited one until its cell has ended."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.evaluator import AgainstBase
from evaluation.measurements.measurement import Measurement
from evaluation.measurements.measurement_files import load_measurements, save_measurements
from evaluation.probe_loss import probe_loss
from surgery.errors import InputError
from surgery.probe.probe import Probe
from surgery.texts.text_split import split_texts
from surgery.texts.texts import LabelledTexts
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import base_identity, edited_identity, losses_identity
from sweeps.run.workbench import CellWork

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator

# The probe's loss on edited models is taken on at most so many of its test texts.
LOSS_TEXTS = 400
BASE, EDITED = "base", "edited"

Measured = list[Measurement]
Look = tuple[Measured, Measured]


def measure_base(work: CellWork, probe: Probe) -> Measured:
    """What the unedited model measures, each evaluator once for all cells that share it."""
    found = [one for name in work.experiment.evaluators for one in work.take(_base_by(work, name))]
    return found + (work.take(_base_losses(work, probe)) if work.experiment.probe_loss else [])


def measure_edited(work: CellWork, probe: Probe) -> Measured:
    """What the model measures with the edit applied by the caller; what was measured before is not again."""
    found = [one for name in work.experiment.evaluators for one in work.take(_edited_by(work, name))]
    return found + (work.take(_edited_losses(work, probe)) if work.experiment.probe_loss else [])


def looks(work: CellWork) -> Iterator[Look]:
    """Base and edited measurements of the selection half as they come, the cheapest evaluators' first.

    An evaluator that can look at a part of its samples does so before it measures them all. The rest of the cell
    has what was measured here already.
    """
    evaluators = work.experiment.evaluators
    for name in sorted(evaluators, key=lambda name: evaluators[name].cost):
        first = evaluators[name].first_look()
        if first is None:
            continue
        base = work.take(_base_by(work, name))
        if first is not evaluators[name]:
            identity = base_identity(work.cell, name) | {"evaluator": first.identity()}
            look = work.take(_edited(work, identity, partial(_measure, work, first, name)))
            whole = {(measurement.name, measurement.half): measurement for measurement in base}
            yield [whole[one.name, one.half].only(one.sample_ids) for one in look], look
        yield base, work.take(_edited_by(work, name))


def probe_losses(work: CellWork, probe: Probe) -> Measured:
    """The probe's loss a class on its test texts (Table 13), on the model as it is now."""
    settings, texts = work.cell.settings, work.experiment.texts
    chosen = _loss_texts(texts, settings.probe.test_share, settings.seed)
    with work.asked() as loaded:
        return probe_loss(
            *loaded,
            probe,
            [texts.texts[i] for i in chosen],
            [texts.labels[i] for i in chosen],
            ids=[str(i) for i in chosen],
            max_length=settings.behavior.max_length,
            chat=settings.behavior.chat,
        )


def _loss_texts(texts: LabelledTexts, test_share: float, seed: int) -> list[int]:
    """Indices of the test texts that the probe's loss is taken on: evenly spaced, at most LOSS_TEXTS in all."""
    _, test = split_texts(texts.labels, test_share, seed, texts.texts)
    chosen: list[int] = []
    for label in (0, 1):
        of_class = [int(i) for i in test if texts.labels[i] == label]
        stride = -(-len(of_class) // (LOSS_TEXTS // 2))
        chosen += of_class[:: max(1, stride)]
    return sorted(chosen)


def _base_by(work: CellWork, name: str) -> Stage[Measured]:
    evaluator = work.experiment.evaluators[name]
    if isinstance(evaluator, AgainstBase):
        keep = partial(_keep, work, evaluator)
        return _kept_with(BASE, base_identity(work.cell, name), keep)
    return _kept(BASE, base_identity(work.cell, name), partial(_asked, work, evaluator))


def _edited_by(work: CellWork, name: str) -> Stage[Measured]:
    measure = partial(_measure, work, work.experiment.evaluators[name], name)
    return _edited(work, base_identity(work.cell, name), measure)


def _base_losses(work: CellWork, probe: Probe) -> Stage[Measured]:
    return _kept(BASE, losses_identity(work.cell, probe.fingerprint), partial(probe_losses, work, probe))


def _edited_losses(work: CellWork, probe: Probe) -> Stage[Measured]:
    return _edited(work, losses_identity(work.cell, probe.fingerprint), partial(probe_losses, work, probe))


def _keep(work: CellWork, evaluator: AgainstBase, folder: Path) -> Measured:
    with work.asked(evaluator) as loaded:
        return evaluator.keep(*loaded, folder, work.bench.progress)


def _asked(work: CellWork, evaluator: "Evaluator") -> Measured:
    with work.asked(evaluator) as loaded:
        return evaluator.measure(*loaded, work.bench.progress)


def _measure(work: CellWork, evaluator: "Evaluator", name: str) -> Measured:
    """Of the edited model, by an evaluator or its first look; `name` is the evaluator's."""
    if not isinstance(evaluator, AgainstBase):
        return _asked(work, evaluator)
    base = _base_by(work, name)
    kept = work.entry(base)
    if kept is None:
        raise InputError(f"{work.note(base)} went from the store while its cell ran; run the command again")
    with work.asked(evaluator) as loaded:
        return evaluator.measure_against(kept, *loaded, work.bench.progress)


def _edited(work: CellWork, base: Mapping[str, Any], measure: Callable[[], Measured]) -> Stage[Measured]:
    return _kept(EDITED, edited_identity(base, work.fingerprint), measure)


def _kept(name: str, identity: Mapping[str, Any], measure: Callable[[], Measured]) -> Stage[Measured]:
    return _kept_with(name, identity, lambda folder: measure())


def _kept_with(name: str, identity: Mapping[str, Any], measure: Callable[[Path], Measured]) -> Stage[Measured]:
    """`measure` may write further files into the entry's folder."""
    file = f"{name}.parquet"
    return Stage(
        name,
        identity,
        make=lambda folder: save_measurements(measure(folder), folder / file),
        load=lambda folder: load_measurements(folder / file),
    )
