"""What a job and its sender tell each other, without a cluster."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from sweeps.config import resolvers
from sweeps.config.composition import Composed
from sweeps.executors.job import Job, Over, Refused, read_lines, run_job
from sweeps.executors.protocol import Ended, Started
from sweeps.executors.sent_groups import RunElsewhere, SentGroup
from sweeps.plan.plan import Plan
from sweeps.plan.planner import make_plan
from sweeps.records.record import Record, load_records


@pytest.fixture
def plan(world, tmp_path: Path) -> Plan:
    """Two cells on the tiny world."""
    resolvers.register()
    asked = [
        *("model=local", f"model.path={world.model}", "behavior=tabular", f"behavior.path={world.texts}"),
        *(f"evaluation.text={world.text}", "tracking=none", f"output_dir={tmp_path / 'outputs'}"),
    ]
    cells = []
    with initialize_config_module("conf", version_base="1.3"):
        for top_k in (4, 8):
            config = compose("config", [*asked, f"top_k={top_k}"])
            cells.append(Composed.of(config, [f"top_k={top_k}"]))
    return make_plan(cells)


def sent(plan: Plan, folder: Path) -> Job:
    (folder / "plan.pkl").write_bytes(pickle.dumps(plan))
    cells = tuple(experiment.cell.id for experiment in plan.experiments)
    return Job(folder / "plan.pkl", cells, folder / "events.jsonl", folder)


def test_a_plan_from_a_file_is_the_plan_that_was_sent(plan) -> None:
    back = pickle.loads(pickle.dumps(plan))
    assert [e.cell.id for e in back.experiments] == [e.cell.id for e in plan.experiments]
    assert [e.cell.identity() for e in back.experiments] == [e.cell.identity() for e in plan.experiments]
    assert back.sweep_folder == plan.sweep_folder


def test_a_job_writes_records_and_tells_each_cell_in_order(plan, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = sent(plan, tmp_path)
    run_job(job)
    lines, _ = read_lines(job.log, 0)
    told = [line for line in lines if isinstance(line, Started | Ended | Over)]
    first, second = job.cells
    assert told == [Started(first), Ended(first), Started(second), Ended(second), Over(None)]
    assert {record.cell: record.status for record in load_records(plan.sweep_folder)} == {first: "done", second: "done"}


def test_a_job_that_can_not_measure_says_so_and_writes_no_record(plan, world, tmp_path, monkeypatch) -> None:
    from surgery import InputError
    from sweeps.executors import group_runner

    def refuse(self, plan):
        raise InputError("the scorer is not there")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(group_runner.GroupRunner, "take", refuse)
    job = sent(plan, tmp_path)
    run_job(job)
    assert read_lines(job.log, 0)[0] == [Refused("the scorer is not there")]
    assert not list(plan.sweep_folder.glob("*/result.json"))


def test_a_line_that_is_still_being_written_is_left_for_the_next_time(tmp_path) -> None:
    log = tmp_path / "log"
    assert read_lines(log, 0) == ([], 0)
    line = json.dumps({"event": "Started", "cell": "a"}) + "\n"
    log.write_text(line + '{"event": "En')
    assert read_lines(log, 0) == ([Started("a")], len(line))
    log.write_text(line + '{"event": "Ended", "cell": "a"}\n')
    assert read_lines(log, len(line))[0] == [Ended("a")]


@pytest.mark.parametrize(
    ("running", "ended_any", "lost", "rest"),
    [
        ({"b"}, False, ["b"], ["a", "c"]),  # it died at b: only b may be to blame
        ({"b", "c"}, False, ["b", "c"], ["a"]),  # at two at once: either may be
        (set(), True, [], ["a", "b", "c"]),  # between two cells: none is
        (set(), False, ["a", "b", "c"], []),  # before the first: it may not help to send them again and again
    ],
)
def test_a_job_that_dies_takes_only_the_cell_it_was_at(running, ended_any, lost, rest, plan) -> None:
    group = SentGroup(plan, ["a", "b", "c"], {}, running=running, ended_any=ended_any)
    assert group.lost_and_rest() == (lost, rest)


def test_a_cell_that_a_search_gave_up_has_not_ended_for_a_grid(plan) -> None:
    """Whoever else ran it: on a cluster it is sent again, as it is run again here."""
    first, second = (experiment.cell.id for experiment in plan.experiments)
    for cell, status in ((first, "pruned"), (second, "done")):
        Record(cell, status).save(plan.sweep_folder / cell)
    told: list[object] = []
    elsewhere = RunElsewhere(busy={first, second})
    assert elsewhere.keep(plan, [first, second]) == []
    assert elsewhere.look(told.append) == [(plan, [first])]
    assert told == [Ended(second)]
    assert (plan.ended(first), plan.ended(second)) == (None, Record.load(plan.sweep_folder / second))


@pytest.mark.slow
def test_the_workers_of_a_job_run_each_of_its_cells_once(plan, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = replace(sent(plan, tmp_path), workers=2)
    run_job(job)
    lines, _ = read_lines(job.log, 0)
    assert lines[-1] == Over(None)
    for kind in (Started, Ended):
        assert sorted(line.cell for line in lines if isinstance(line, kind)) == sorted(job.cells)
    records = load_records(plan.sweep_folder)
    assert {record.cell: record.status for record in records} == dict.fromkeys(job.cells, "done")
