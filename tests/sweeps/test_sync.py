"""`sweeps sync`: each cell is sent once, by W&B's own command, to a server on this machine."""

import json

import pytest


@pytest.fixture
def cells(surgery, arguments, results):
    """Runs two cells of one sweep; returns their records."""

    def run(*extra: str):
        untracked = [argument for argument in arguments if not argument.startswith("tracking")]
        ran = surgery("-m", *untracked, "top_k=4,8", "sweep=grid", *extra)
        assert ran.code == 0, ran.err
        assert "tracking failed" not in ran.err
        return results()

    return run


@pytest.mark.slow
def test_runs_logged_offline_are_sent_once_with_tags_project_and_entity(cells, sweeps, account, tmp_path) -> None:
    records = cells("tracking.tags=[first,second]", "tracking.project=proof", "tracking.entity=team")
    ran = sweeps("sync", "grid")
    assert (ran.code, ran.err) == (0, "")
    assert "sent 2 of 2 cells" in ran.out
    assert f"{account.address}/team/proof" in ran.out
    assert {run.config["cell"] for run in account.cells.values()} == set(records)
    for run in account.cells.values():
        record = records[run.config["cell"]]
        assert (run.group, run.project, run.entity, run.tags) == (
            "grid",
            "proof",
            "team",
            ["first", "second", "tiny", "texts", "surgery"],
        )
        assert run.name == f"top_k={run.config['top_k']} alpha=1.0"
        assert run.summary["perplexity/story"] == pytest.approx(record["metrics"]["perplexity/story"]["edited"])
        assert {"edit", "probe"} <= run.artifacts
        assert run.job_type == "cell"
    [report] = [run for run in account.runs.values() if run.job_type == "report"]
    assert (report.group, report.project, report.artifacts) == ("grid", "proof", {"report"})
    assert "sent the report" in ran.out
    before = {name: run.uploads for name, run in account.cells.items()}
    assert "nothing to send, cells sent before: 2" in sweeps("sync", "grid").out
    assert {name: run.uploads for name, run in account.cells.items()} == before


@pytest.mark.slow
def test_cells_run_without_tracking_are_sent_from_their_records(cells, sweeps, account, tmp_path) -> None:
    records = cells("tracking=none")
    assert "sent 2 of 2 cells" in sweeps("sync", "grid", "--project", "mine").out
    assert {run.config["cell"] for run in account.cells.values()} == set(records)
    for name, run in account.cells.items():
        record = records[run.config["cell"]]
        assert name.startswith(run.config["cell"])
        assert (run.group, run.project) == ("grid", "mine")
        assert run.summary["perplexity/story"] == pytest.approx(record["metrics"]["perplexity/story"]["edited"])
        assert "edit" in run.artifacts
    # Should every note of what was sent be lost, the same runs are written again and none is doubled.
    names = set(account.cells)
    for note in (tmp_path / "outputs/runs/grid").glob("*/wandb.json"):
        note.unlink()
    assert sweeps("sync", "grid", "--project", "mine").code == 0
    assert set(account.cells) == names


@pytest.mark.slow
def test_a_cell_that_the_server_refused_is_named_and_sent_by_the_next_call(cells, sweeps, account, tmp_path) -> None:
    records = cells()
    notes = {cell: json.loads((tmp_path / f"outputs/runs/grid/{cell}/wandb.json").read_text()) for cell in records}
    refused, other = sorted(records)
    account.refused = {notes[refused]["id"]}
    ran = sweeps("sync", "grid")
    assert ran.code == 1
    assert f"not sent: {refused} (" in ran.err
    assert set(account.cells) == {notes[other]["id"]}
    account.refused = set()
    ran = sweeps("sync", "grid")
    assert "sent 1 of 2 cells, 1 before" in ran.out
    assert {run.uploads for run in account.cells.values()} == {1}


def test_without_a_key_or_a_server_one_line_says_so_and_nothing_is_marked(
    cells, sweeps, account, monkeypatch, tmp_path
) -> None:
    cells()
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the command asked for something"))
    ran = sweeps("sync", "grid")
    assert ran.code == 1
    assert "wandb login" in ran.err
    monkeypatch.setenv("WANDB_API_KEY", "b" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    ran = sweeps("sync", "grid")
    assert ran.code == 1
    assert "can't be reached" in ran.err
    assert "bbbb" not in ran.out + ran.err
    for note in (tmp_path / "outputs/runs/grid").glob("*/wandb.json"):
        assert json.loads(note.read_text())["sent"] is False


def test_tags_that_are_no_list_are_refused_before_anything_runs(surgery, arguments, results) -> None:
    untracked = [argument for argument in arguments if not argument.startswith("tracking")]
    ran = surgery(*untracked, "tracking.tags=first")
    assert ran.code == 1
    assert "tracking.tags=[first]" in ran.err
    assert results() == {}
