"""Record: what is kept of a cell that is done or was given up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evaluation.measurements.measurement import Measurement
from surgery.changes.receipt import Receipt
from surgery.edits.edit import Edit
from surgery.edits.intervention import Intervention, described, shown_alike
from surgery.files.whole_files import sha256_of_file, written_whole
from surgery.probe.chance import chance_note
from surgery.probe.probe import Probe
from surgery.region.ranking import RowRanking
from surgery.region.region import Region
from sweeps.plan.experiment import Experiment
from sweeps.records.metric import Metric
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import AT_CHANCE, CONFIG, EARLIER, EDIT, SAMPLES, STEP, Record
from sweeps.records.samples import write_samples
from sweeps.run.cosine_histogram import cosine_histogram
from sweeps.run.stage import Stage
from sweeps.run.states_stage import shown_texts, states_batches
from sweeps.run.workbench import CellWork

# What is told of the batches that something was done in, and of the judge that did it.
NOTES = (
    "tokens_per_batch",
    "texts_per_batch",
    "halvings",
    "prompts_cut",
    "answers_cut",
    "judge_texts",
    "judge_accuracy",
)


@dataclass(frozen=True)
class Findings:
    """What a cell came to, step by step; `region` is None for a method that has none.

    `served` says how a server was tried that the edit was put on.
    """

    behavior: Probe
    probe: Probe
    ranking: Stage[RowRanking]
    region: Region | None
    intervention: Intervention
    receipt: Receipt
    base: Sequence[Measurement]
    edited: Sequence[Measurement]
    served: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GivenUp:
    """Why a cell was given up, and what was measured by then."""

    reason: str
    metrics: dict[str, Metric]
    measured: list[Measurement]


def done_record(work: CellWork, findings: Findings, folder: Path) -> Record:
    """Writes the files of a cell that was measured whole, and makes its record; the seconds are the caller's to say."""
    _write_config(work.experiment, folder)
    findings.intervention.save(folder / EDIT)
    earlier = [EARLIER.format(number) for number in range(1, len(work.experiment.earlier) + 1)]
    for name, one in zip(earlier, work.experiment.earlier, strict=True):
        one.save(folder / name)
    write_samples(folder / SAMPLES, findings.base, findings.edited)
    return Record(
        **work.experiment.asked(),
        status="done",
        metrics=metrics_of(
            findings.base,
            findings.edited,
            work.cell.settings.seed,
            shown_alike([*work.experiment.earlier, findings.intervention]),
        )
        | _accuracies(findings.probe),
        probe=_of_the_probe(work, findings),
        edit=_of_the_edit(work, findings),
        batches=_batches(work, [*findings.base, *findings.edited]),
        machine=work.machine,
        store=work.used,
        files={name: sha256_of_file(folder / name) for name in (CONFIG, EDIT, SAMPLES, *earlier)},
    )


def pruned_record(work: CellWork, given_up: GivenUp, folder: Path) -> Record:
    """Writes the config of a cell that was given up, and makes its record."""
    _write_config(work.experiment, folder)
    return Record(
        **work.experiment.asked(),
        status="pruned",
        error=given_up.reason,
        metrics=given_up.metrics,
        batches=_batches(work, given_up.measured),
        store=work.used,
        files={CONFIG: sha256_of_file(folder / CONFIG)},
    )


def _accuracies(probe: Probe) -> dict[str, Metric]:
    found = {}
    for name, size in (("train_accuracy", "n_train"), ("test_accuracy", "n_test")):
        if name in probe.metrics:
            n = probe.metrics[size]
            metric = Metric(f"probe/{name}", edited=probe.metrics[name], n=None if n is None else int(n))
            found[metric.key] = metric
    return found


def _of_the_probe(work: CellWork, findings: Findings) -> dict[str, Any]:
    probe, texts = findings.probe, work.experiment.texts
    return {
        "method": probe.method,
        "layer": work.cell.layer,
        "classes": list(probe.classes),
        "texts": len(texts),
        "left_out": texts.left_out,
        "repeated": texts.repeated,
        AT_CHANCE: chance_note(findings.behavior.metrics),
        "fingerprint": probe.fingerprint,
        "norm": float(probe.direction(1).norm()),
        **({"shown": shown_texts(work)} if work.cell.settings.behavior.chat else {}),
        **probe.metrics,
    }


def _of_the_edit(work: CellWork, findings: Findings) -> dict[str, Any]:
    cell, intervention = work.cell, findings.intervention
    found = {
        "base": cell.model_fingerprint,
        **({"chain": [*cell.earlier, intervention.fingerprint]} if cell.earlier else {}),
        "region": described(intervention),
        "fingerprint": intervention.fingerprint,
        **asdict(findings.receipt),
        **({"served": findings.served} if findings.served else {}),
    }
    # Where a server answers, the model need not be in memory.
    if isinstance(intervention, Edit) and work.served is None:
        with work.subject():
            found[STEP] = intervention.relative_step(work.model)
    if findings.region is None:
        return found
    return found | {"cosines": cosine_histogram(work.take(findings.ranking), findings.region)}


def _batches(work: CellWork, measurements: Iterable[Measurement]) -> dict[str, list[dict[str, Any]]]:
    """{kind of work: the different batches it was done in}, of the hidden states, the base and the edited model."""
    found: dict[str, list[dict[str, Any]]] = {}

    def tell(kind: str, batches: Mapping[str, Any]) -> None:
        told = {name: batches[name] for name in NOTES if name in batches}
        of_kind = found.setdefault(kind, [])
        of_kind += [] if told in of_kind else [told]

    notes: Mapping[str, Any]
    for notes in (states_batches(work), *(one.notes for one in measurements)):
        if "work" in notes:
            tell(notes["work"], notes)
        for judge in notes.get("judges", {}).values():
            # Judges side by side note what each of them did.
            each = [one for one in judge.values() if isinstance(one, Mapping)]
            for one in each or [judge]:
                tell("judging", one)
    return found


def _write_config(experiment: Experiment, folder: Path) -> None:
    with written_whole(folder / CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(dict(experiment.config), sort_keys=False), encoding="utf-8")
