"""One cell, from hidden states to its record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement
from surgery.edits.edit import Edit
from surgery.edits.intervention import Intervention, described
from surgery.files.whole_files import sha256_of_file, written_whole
from surgery.probe.chance import ProbeAtChance, chance_note
from sweeps.cell.cell import VERSION
from sweeps.plan.plan import Experiment
from sweeps.records.chain import applied
from sweeps.records.machine import machine
from sweeps.records.record import AT_CHANCE, CONFIG, EARLIER, EDIT, SAMPLES, Record
from sweeps.records.samples import write_samples
from sweeps.results.giving_up import Pruning
from sweeps.run.cosine_histogram import cosine_histogram
from sweeps.run.session import Session
from sweeps.run.stopwatch import Stopwatch


def metrics_of(base: Sequence[Measurement], edited: Sequence[Measurement], seed: int) -> dict[str, dict[str, Any]]:
    """{name: base, edited, delta, paired 95 % interval, p, n}; the selection half's names begin with `selection/`."""
    metrics = {}
    for before, after in zip(base, edited, strict=True):
        found = compare(before, after, seed)
        name = f"selection/{found.name}" if found.half == "selection" else found.name
        if name in metrics:
            raise ValueError(f"two measurements are called {name}")
        metrics[name] = {
            "base": found.base,
            "edited": found.edited,
            "delta": found.delta,
            "ci95": list(found.ci95),
            "p": found.p,
            "n": found.n,
        }
    return metrics


def _alone(value: float | None, n: int | None) -> dict[str, Any]:
    """A metric that has no base to compare with."""
    return {"base": None, "edited": value, "delta": None, "ci95": [None, None], "p": None, "n": n}


def run_cell(
    session: Session,
    experiment: Experiment,
    folder: Path,
    on_stage: Callable[[str, float], None],
    pruning: Pruning | None = None,
    strict: bool = False,
) -> Record:
    """Runs a cell and writes its config, edit and samples; the caller saves the record, which ends it.

    Args:
        session: the model and the shared stages.
        experiment: the cell.
        folder: where its files go.
        on_stage: called with the name and seconds of each stage as it ends.
        pruning: when to give the cell up before all of it is measured; its record is then `pruned` and says why.
        strict: refuse a probe whose test accuracy can't be told from chance, before anything is measured.

    Raises:
        ProbeAtChance: under `strict`, where the method looks at a probe.
    """
    cell = experiment.cell
    watch = Stopwatch(on_stage)
    with watch.stage("model"):
        model, _ = session.model(cell.settings.model)
    with watch.stage("probe"):
        probe = session.direction_probe(experiment)
        # A random direction is at chance by intent; that of the probe it replaces, which ranks the rows, is not.
        at_chance = chance_note(session.behavior_probe(experiment).metrics)
    if at_chance and strict and cell.settings.method.uses_probe:
        raise ProbeAtChance(f"{at_chance}; strict=true refuses that")
    with watch.stage("region"):
        edit = session.edit(experiment)
    with watch.stage("base"):
        base = session.base(experiment)
    with watch.stage("edited"), applied(experiment.earlier, model), edit.applied_to(model) as receipt:
        given_up = _given_up(session, experiment, pruning) if pruning and pruning.gives_up else None
        edited = [] if given_up else session.edited(experiment)
    if given_up:
        return replace(_pruned(session, experiment, folder, *given_up), seconds=watch.seconds)
    with watch.stage("record"):
        metrics = metrics_of(base, edited, cell.settings.seed)
        for name, size in (("train_accuracy", "n_train"), ("test_accuracy", "n_test")):
            if name in probe.metrics:
                n = probe.metrics[size]
                metrics[f"probe/{name}"] = _alone(probe.metrics[name], None if n is None else int(n))
        _write_config(experiment, folder)
        edit.save(folder / EDIT)
        earlier = [EARLIER.format(number) for number in range(1, len(experiment.earlier) + 1)]
        for name, one in zip(earlier, experiment.earlier, strict=True):
            one.save(folder / name)
        write_samples(folder / SAMPLES, base, edited)
    return Record(
        cell=cell.id,
        status="done",
        command=experiment.command,
        protocol=cell.protocol,
        identity=VERSION,
        model=cell.model_identity.parts(),
        keys=cell.keys(),
        metrics=metrics,
        probe={
            "method": probe.method,
            "layer": cell.layer,
            "classes": list(probe.classes),
            "texts": len(experiment.texts),
            "left_out": experiment.texts.left_out,
            "repeated": experiment.texts.repeated,
            AT_CHANCE: at_chance,
            "fingerprint": probe.fingerprint,
            "norm": float(probe.direction(1).norm()),
            **({"shown": session.shown_texts(experiment)} if cell.settings.behavior.chat else {}),
            **probe.metrics,
        },
        edit={
            "base": cell.model_fingerprint,
            **({"chain": [*cell.earlier, edit.fingerprint]} if cell.earlier else {}),
            "region": described(edit),
            "fingerprint": edit.fingerprint,
            **asdict(receipt),
            **_cosines(session, experiment, edit),
        },
        seconds=watch.seconds,
        batches=_batches(session, experiment, [*base, *edited]),
        machine=machine(str(model.device)),
        store=session.used(experiment),
        files={name: sha256_of_file(folder / name) for name in (CONFIG, EDIT, SAMPLES, *earlier)},
    )


def _cosines(session: Session, experiment: Experiment, edit: Intervention) -> dict[str, Any]:
    """The histogram of the region's cosines; nothing for a method that has no region."""
    if not isinstance(edit, Edit):
        return {}
    return {"cosines": cosine_histogram(session.ranking(experiment), edit.region)}


def _batches(
    session: Session, experiment: Experiment, measurements: Iterable[Measurement]
) -> dict[str, list[dict[str, Any]]]:
    """{kind of work: the different batches it was done in}, of the hidden states, the base and the edited model."""
    found: dict[str, list[dict[str, Any]]] = {}

    def tell(work: str, batches: Mapping[str, Any]) -> None:
        names = ("tokens_per_batch", "texts_per_batch", "halvings", "prompts_cut")
        told = {name: batches[name] for name in names if name in batches}
        of_work = found.setdefault(work, [])
        of_work += [] if told in of_work else [told]

    notes: Mapping[str, Any]
    for notes in (session.states_batches(experiment), *(one.notes for one in measurements)):
        if "work" in notes:
            tell(notes["work"], notes)
        for judge in notes.get("judges", {}).values():
            tell("judging", judge)
    return found


def _given_up(
    session: Session, experiment: Experiment, pruning: Pruning
) -> tuple[str, dict[str, Any], list[Measurement]] | None:
    """Why the cell is given up, and the metrics and measurements by then; None when it is not."""
    metrics: dict[str, Any] = {}
    measured: list[Measurement] = []
    for base, edited in session.looks(experiment):
        metrics |= metrics_of(base, edited, experiment.cell.settings.seed)
        measured += [*base, *edited]
        if reason := pruning.reason(metrics):
            return reason, metrics, measured
    return None


def _pruned(
    session: Session,
    experiment: Experiment,
    folder: Path,
    reason: str,
    metrics: Mapping[str, Any],
    measured: Sequence[Measurement],
) -> Record:
    _write_config(experiment, folder)
    return Record(
        cell=experiment.cell.id,
        status="pruned",
        error=reason,
        command=experiment.command,
        protocol=experiment.cell.protocol,
        identity=VERSION,
        model=experiment.cell.model_identity.parts(),
        keys=experiment.cell.keys(),
        metrics=metrics,
        batches=_batches(session, experiment, measured),
        store=session.used(experiment),
        files={CONFIG: sha256_of_file(folder / CONFIG)},
    )


def _write_config(experiment: Experiment, folder: Path) -> None:
    with written_whole(folder / CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(dict(experiment.config), sort_keys=False), encoding="utf-8")
