"""What is measured on a model, kept by evaluator: on the base once, on an edit until its cell is finished."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evaluation.measurements.measurement import Measurement
from evaluation.measurements.measurement_files import load_measurements, save_measurements
from evaluation.probe_loss import probe_loss
from surgery.model.fingerprints import fingerprint
from surgery.probe.probe import Probe
from surgery.texts.text_split import split_texts
from surgery.texts.texts import LabelledTexts
from sweeps.cell.cell import ModelSettings
from sweeps.plan.plan import Experiment
from sweeps.run.stages import base_identity, edited_identity, losses_identity

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evaluation.evaluator import Evaluator

# The probe's loss on edited models is taken on at most so many of its test texts.
LOSS_TEXTS = 400
BASE, EDITED = "base.parquet", "edited.parquet"

Loaded = tuple["PreTrainedModel", "PreTrainedTokenizerBase"]
T = TypeVar("T")


class MeasuredStages(ABC):
    """The stages that measure a model.

    Attributes:
        progress: show bars with the time that is left.
    """

    progress: bool

    @abstractmethod
    def model(self, settings: ModelSettings) -> Loaded:
        """The model and tokenizer."""

    @abstractmethod
    def direction_probe(self, experiment: Experiment) -> Probe:
        """The probe whose direction is added to the rows."""

    @abstractmethod
    def kept(
        self,
        experiment: Experiment,
        stage: str,
        identity: Mapping[str, Any],
        make: Callable[[Path], None],
        load: Callable[[Path], T],
    ) -> T:
        """What `load` reads from an entry of the store, which `make` makes when it is not there."""

    def base(self, experiment: Experiment) -> list[Measurement]:
        """What the unedited model measures, each evaluator once for all cells that share it."""
        found: list[Measurement] = []
        for name in experiment.evaluators:
            identity = base_identity(experiment.cell, name)
            found += self._measured(experiment, "base", identity, BASE, self._measuring(experiment, name))
        if experiment.probe_loss:
            identity = losses_identity(experiment.cell, self.direction_probe(experiment).fingerprint)
            found += self._measured(experiment, "base", identity, BASE, lambda: self.probe_losses(experiment))
        return found

    def edited(self, experiment: Experiment) -> list[Measurement]:
        """What the model measures with the edit applied by the caller; what was measured before is not again."""
        found: list[Measurement] = []
        for name in experiment.evaluators:
            found += self.edited_by(experiment, name)
        if experiment.probe_loss:
            found += self.edited_probe_losses(experiment)
        return found

    def looks(self, experiment: Experiment) -> Iterator[tuple[list[Measurement], list[Measurement]]]:
        """Base and edited measurements of the selection half as they come, the cheapest evaluators' first.

        An evaluator that can look at a part of its samples does so before it measures them all. Like all that is
        measured they stay in the store, and the rest of the cell takes them from there.
        """
        for name in sorted(experiment.evaluators, key=lambda name: experiment.evaluators[name].cost):
            first = experiment.evaluators[name].first_look()
            if first is None:
                continue
            identity = base_identity(experiment.cell, name)
            base = self._measured(experiment, "base", identity, BASE, self._measuring(experiment, name))
            if first is not experiment.evaluators[name]:
                part = self._edited_identity(experiment, identity | {"evaluator": first.identity()})
                look = self._measured(experiment, "edited", part, EDITED, partial(self._measure, experiment, first))
                whole = {(measurement.name, measurement.half): measurement for measurement in base}
                yield [whole[one.name, one.half].only(one.sample_ids) for one in look], look
            yield base, self.edited_by(experiment, name)

    def edited_by(self, experiment: Experiment, name: str) -> list[Measurement]:
        """What one evaluator measures on the model with the edit applied by the caller."""
        identity = self._edited_identity(experiment, base_identity(experiment.cell, name))
        return self._measured(experiment, "edited", identity, EDITED, self._measuring(experiment, name))

    def edited_probe_losses(self, experiment: Experiment) -> list[Measurement]:
        """`probe_losses` of the model with the edit applied by the caller, kept like what an evaluator measures."""
        base = losses_identity(experiment.cell, self.direction_probe(experiment).fingerprint)
        identity = self._edited_identity(experiment, base)
        return self._measured(experiment, "edited", identity, EDITED, lambda: self.probe_losses(experiment))

    def probe_losses(self, experiment: Experiment) -> list[Measurement]:
        """The probe's loss a class on its test texts (Table 13), on the model as it is now."""
        cell, texts = experiment.cell, experiment.texts
        model, tokenizer = self.model(cell.settings.model)
        chosen = loss_texts(texts, cell.settings.probe.test_share, cell.settings.seed)
        return probe_loss(
            model,
            tokenizer,
            self.direction_probe(experiment),
            [texts.texts[i] for i in chosen],
            [texts.labels[i] for i in chosen],
            ids=[str(i) for i in chosen],
            max_length=cell.settings.behavior.max_length,
            chat=cell.settings.behavior.chat,
        )

    def _measuring(self, experiment: Experiment, name: str) -> Callable[[], list[Measurement]]:
        return partial(self._measure, experiment, experiment.evaluators[name])

    def _measure(self, experiment: Experiment, evaluator: "Evaluator") -> list[Measurement]:
        model, tokenizer = self.model(experiment.cell.settings.model)
        return evaluator.measure(model, tokenizer, self.progress)

    def _edited_identity(self, experiment: Experiment, base: Mapping[str, Any]) -> dict[str, Any]:
        # Taken from the model itself, so that nothing measured without the edit can pass for it.
        model, _ = self.model(experiment.cell.settings.model)
        return edited_identity(base, fingerprint(model))

    def _measured(
        self,
        experiment: Experiment,
        stage: str,
        identity: Mapping[str, Any],
        name: str,
        measure: Callable[[], list[Measurement]],
    ) -> list[Measurement]:
        return self.kept(
            experiment,
            stage,
            identity,
            lambda folder: save_measurements(measure(), folder / name),
            lambda folder: load_measurements(folder / name),
        )


def loss_texts(texts: LabelledTexts, test_share: float, seed: int) -> list[int]:
    """Indices of the test texts that the probe's loss is taken on: evenly spaced, at most LOSS_TEXTS in all."""
    _, test = split_texts(texts.labels, test_share, seed, texts.texts)
    chosen: list[int] = []
    for label in (0, 1):
        of_class = [int(i) for i in test if texts.labels[i] == label]
        stride = -(-len(of_class) // (LOSS_TEXTS // 2))
        chosen += of_class[:: max(1, stride)]
    return sorted(chosen)
