"""What Weights & Biases is told, read back from its offline log."""

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb.proto import wandb_internal_pb2

HEADER, BLOCK = 7, 32_768


def log_records(path: Path) -> Iterator[wandb_internal_pb2.Record]:
    """The records of an offline log: a 7-byte header, then LevelDB-style blocks of crc, length, type and data."""
    data, position, parts = path.read_bytes(), HEADER, b""
    while position + 7 <= len(data):
        left = BLOCK - position % BLOCK
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        if kind == 0:
            position += left
            continue
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def whole_log(path: Path) -> list[wandb_internal_pb2.Record]:
    """The records of a log that ends with the run's end: W&B's own process may still write when `finish` returns."""
    for _ in range(100):
        records = list(log_records(path))
        if records and records[-1].WhichOneof("record_type") == "exit":
            return records
        time.sleep(0.1)
    raise AssertionError(f"{path} never ends")


class Logged:
    """One run as its log tells it."""

    def __init__(self, path: Path) -> None:
        self.config: dict[str, object] = {}
        self.summary: dict[str, object] = {}
        self.artifacts: dict[str, list[str]] = {}
        self.history: set[str] = set()
        self.exit_code: int | None = None
        self.files: list[str] = [file.name for file in path.parent.rglob("*.table.json")]
        for record in whole_log(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.group, self.project, self.name = record.run.run_group, record.run.project, record.run.display_name
                self.job_type, self.tags = record.run.job_type, list(record.run.tags)
                self.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            elif kind == "summary":
                for item in record.summary.update:
                    self.summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
            elif kind == "history":
                for item in record.history.item:
                    self.summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
                    self.history.add(item.nested_key[0] if item.nested_key else item.key)
            elif kind == "artifact":
                self.artifacts[record.artifact.type] = [entry.path for entry in record.artifact.manifest.contents]
            elif kind == "exit":
                self.exit_code = record.exit.exit_code


@pytest.fixture
def logged(surgery, arguments, world, tmp_path, monkeypatch):
    """Runs a grid with W&B offline and reads its logs; of one job type."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))

    def run(*extra: str, job_type: str = "cell") -> list[Logged]:
        tracked = [argument for argument in arguments if not argument.startswith("tracking")]
        ran = surgery(*tracked, *extra)
        assert ran.code in (0, 1), ran.err
        assert "tracking failed" not in ran.err
        runs = [Logged(path) for path in sorted((tmp_path / "outputs").glob("wandb/offline-run-*/run-*.wandb"))]
        return [run for run in runs if run.job_type == job_type]

    return run


def test_one_run_a_cell_with_config_metrics_samples_probe_and_edit(logged, results) -> None:
    runs = logged("-m", "top_k=4,8", "tracking.project=proof")
    assert len(runs) == 2
    records = results()
    assert {run.config["cell"] for run in runs} == set(records)
    for run in runs:
        record = records[str(run.config["cell"])]
        metric = record["metrics"]["perplexity/story"]  # type: ignore[index]
        assert (run.group, run.project, run.exit_code) == ("tiny-texts", "proof", 0)
        assert run.name == f"top_k={run.config['top_k']} alpha=1.0"
        assert run.config["layer"] == 4
        assert run.summary["perplexity/story"] == pytest.approx(metric["edited"])
        assert run.summary["perplexity/story/base"] == pytest.approx(metric["base"])
        assert run.summary["perplexity/story/ci_low"] == pytest.approx(metric["ci95"][0])
        assert run.summary["perplexity/story/p"] == pytest.approx(metric["p"])
        assert run.tags == ["tiny", "texts", "surgery"]
        # Of each key of the history W&B draws a chart.
        assert {name for name in run.history if not name.startswith("_")} == {"perplexity/story", "samples"}
        assert run.summary["status"] == "done"
        assert run.artifacts["edit"] == ["edit.safetensors"]
        assert run.artifacts["probe"] == ["probe.safetensors"]
        assert len(run.files) == 1


@pytest.mark.slow
def test_the_report_is_an_artifact_of_a_run_of_its_own(logged, tmp_path) -> None:
    [run] = logged("-m", "top_k=4,8", "sweep=grid", "tracking.tags=[mine]", job_type="report")
    assert (run.group, run.name, run.tags, run.exit_code) == ("grid", "report of grid", ["mine"], 0)
    assert run.artifacts == {"report": ["report.html"]}
    note = json.loads((tmp_path / "outputs/runs/grid/wandb.json").read_text())
    assert note["id"].startswith("report-") and note["sent"] is False


def test_a_cell_is_logged_once_however_often_the_command_is_repeated(logged) -> None:
    assert len(logged()) == 1
    assert len(logged()) == 1


def test_a_failed_cell_is_told_as_failed(logged, monkeypatch) -> None:
    from surgery import InputError
    from sweeps.run import run_cell

    def edited(work, probe):
        raise InputError("made to fail")

    monkeypatch.setattr(run_cell, "measure_edited", edited)
    [run] = logged()
    assert run.summary["status"] == "failed"
    assert run.summary["error"] == "made to fail"
    assert run.exit_code == 1


def test_tracking_none_leaves_no_wandb_folder(logged, tmp_path) -> None:
    assert logged("tracking=none") == []
    assert not (tmp_path / "outputs" / "wandb").exists()


def test_online_without_a_key_is_refused_and_nothing_is_asked(surgery, arguments, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the command asked for something"))
    tracked = [argument for argument in arguments if not argument.startswith("tracking")]
    ran = surgery(*tracked, "tracking.mode=online")
    assert ran.code == 1
    assert "no key is configured" in ran.err
    assert not list((tmp_path / "outputs").glob("runs/*/*"))


@pytest.mark.slow
def test_an_online_run_opens_when_its_cell_starts_and_shows_each_stage(
    surgery, arguments, monkeypatch, tmp_path
) -> None:
    """The order of events, with the run itself offline: this machine has no server to talk to."""
    import sweeps.tracking.tracker

    events: list[str] = []
    original_open, original_stage = sweeps.tracking.tracker.WandbTracker.open, sweeps.tracking.tracker.WandbCell.stage

    def opened(self, name, experiment):
        events.append("open")
        return original_open(self, name, experiment)

    def staged(self, name, seconds):
        events.append(name)
        return original_stage(self, name, seconds)

    monkeypatch.setattr(sweeps.tracking.tracker.WandbTracker, "opens_at_start", True)
    monkeypatch.setattr(sweeps.tracking.tracker.WandbTracker, "open", opened)
    monkeypatch.setattr(sweeps.tracking.tracker.WandbCell, "stage", staged)
    tracked = [argument for argument in arguments if not argument.startswith("tracking")]
    assert surgery(*tracked).code == 0
    assert events[0] == "open"
    assert events.count("open") == 1
    assert {"probe", "base", "edited"} <= set(events)
    [log] = (tmp_path / "outputs").glob("wandb/offline-run-*/run-*.wandb")
    assert "seconds/edited" in Logged(log).summary


def test_a_tracking_service_that_fails_costs_no_result(surgery, arguments, results, monkeypatch) -> None:
    import sweeps.tracking.tracker

    def broken(self, name, experiment):
        raise ConnectionError("no route")

    monkeypatch.setattr(sweeps.tracking.tracker.WandbTracker, "open", broken)
    tracked = [argument for argument in arguments if not argument.startswith("tracking")]
    ran = surgery(*tracked)
    assert ran.code == 0
    assert "tracking failed for this cell (no route)" in ran.err
    assert [record["status"] for record in results().values()] == ["done"]
