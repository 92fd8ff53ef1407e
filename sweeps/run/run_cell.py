"""One cell, from hidden states to its record: every step of the method, in its order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from surgery.edits.intervention import Intervention, shown_alike
from surgery.probe.chance import ProbeAtChance, chance_note
from surgery.probe.probe import Probe
from sweeps.cell.method import method_module
from sweeps.plan.experiment import Experiment
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import Record
from sweeps.results.giving_up import Pruning
from sweeps.run.cell_record import Findings, GivenUp, done_record, pruned_record
from sweeps.run.edited_model import edited_model, probe_texts
from sweeps.run.measurements import looks, measure_base, measure_edited
from sweeps.run.probe_stage import behavior_probe, direction_probe
from sweeps.run.ranking_stage import row_ranking
from sweeps.run.region_choice import choose_region
from sweeps.run.states_stage import hidden_states
from sweeps.run.stopwatch import Stopwatch
from sweeps.run.workbench import CellWork, Workbench


def run_cell(
    bench: Workbench,
    experiment: Experiment,
    folder: Path,
    on_stage: Callable[[str, float], None] = lambda name, seconds: None,
    on_probe: Callable[[Probe, Probe], None] = lambda behavior, direction: None,
    pruning: Pruning | None = None,
    strict: bool = False,
) -> Record:
    """Runs a cell and writes its config, edit and samples; the caller saves the record, which ends it.

    Args:
        bench: the model, and what the cells of this process share.
        experiment: the cell.
        folder: where its files go.
        on_stage: called with the name and seconds of each stage as it ends.
        on_probe: called with the probe that ranks the rows and the one whose direction they are given.
        pruning: when to give the cell up before all of it is measured; its record is then `pruned` and says why.
        strict: refuse a probe whose test accuracy can't be told from chance, before anything is measured.

    Raises:
        ProbeAtChance: under `strict`, where the method looks at a probe.
        InputError: when the model is no longer the one that the cell was planned with.
        ServerLost: when a server that computes its answers does not any more.
    """
    method, watch = experiment.cell.settings.method, Stopwatch(on_stage)
    with watch.stage("model"):
        work = CellWork(bench, experiment, folder)
    with work.turn():
        with watch.stage("probe"):
            states = hidden_states(work)
            behavior = behavior_probe(work, states)
            probe = direction_probe(work, states, behavior)
            work.let_go(states)
        on_probe(behavior, probe)
        # A random direction is at chance by intent; that of the probe it replaces, which ranks the rows, is not.
        if strict and method.needs.probe and (at_chance := chance_note(behavior.metrics)):
            raise ProbeAtChance(f"{at_chance}; strict=true refuses that")
        with watch.stage("region"):
            work.require_same_model()
            ranking = row_ranking(work, behavior)
            region = choose_region(work, ranking) if method.needs.region else None
            intervention = method_module(method.name).make(work, probe, region)
            tried_on = probe_texts(work, intervention)
    with watch.stage("base"):
        base = measure_base(work, probe)
    with watch.stage("edited"), edited_model(work, intervention, tried_on) as (receipt, served):
        given_up = _given_up(work, pruning, intervention) if pruning and pruning.gives_up else None
        edited = [] if given_up else measure_edited(work, probe)
    if given_up:
        return replace(pruned_record(work, given_up, folder), seconds=watch.seconds)
    with watch.stage("record"):
        findings = Findings(behavior, probe, ranking, region, intervention, receipt, base, edited, served)
        record = done_record(work, findings, folder)
    return replace(record, seconds=watch.seconds)


def _given_up(work: CellWork, pruning: Pruning, intervention: Intervention) -> GivenUp | None:
    """Why the cell is given up, and the metrics and measurements by then; None when it is not."""
    sofar, alike = GivenUp("", {}, []), shown_alike([*work.experiment.earlier, intervention])
    for base, edited in looks(work):
        sofar.metrics.update(metrics_of(base, edited, work.cell.settings.seed, alike))
        sofar.measured.extend([*base, *edited])
        if reason := pruning.reason(sofar.metrics):
            return replace(sofar, reason=reason)
    return None
