"""`sweeps dashboard`: the workspace that is saved, held against a snapshot, and saved to a server on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_metrics import made_metrics

from sweeps.records.record import Record

SNAPSHOT = Path(__file__).parent / "dashboard.json"


def metric(edited: float) -> dict[str, Any]:
    return {"base": 0.9, "edited": edited, "delta": edited - 0.9, "ci95": [-0.9, 0.9], "p": 0.5, "n": 10}


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """Four cells over alpha and top_k, and one that failed."""
    monkeypatch.chdir(tmp_path)
    names = ("toxicity/toxic_rate", "lm_eval/average", "perplexity/story")
    for index in range(4):
        keys = {"model": "tiny", "alpha": 1.0 + index // 2, "top_k": 4 * (1 + index % 2)}
        metrics = made_metrics({name: metric(0.1 * index) for name in names})
        Record(f"{index}" * 12, "done", keys=keys, metrics=metrics).save(Path("outputs/runs/grid") / (f"{index}" * 12))
        (Path("outputs/runs/grid") / (f"{index}" * 12) / "config.yaml").write_text(
            "evaluation: {choose: {minimize: toxicity/toxic_rate}}"
        )
    Record("f" * 12, "failed", error="made to fail").save(Path("outputs/runs/grid") / ("f" * 12))


def without_chance(value: Any) -> Any:
    """Without the ids that are drawn anew each time."""
    if isinstance(value, dict):
        return {key: without_chance(entry) for key, entry in value.items() if key not in ("id", "__id__", "name_id")}
    return [without_chance(entry) for entry in value] if isinstance(value, list) else value


def test_the_workspace_is_the_one_of_the_snapshot(grid, sweeps, tmp_path) -> None:
    ran = sweeps("dashboard", "grid", "--entity", "team", "--project", "proof", "--json", "board.json")
    assert (ran.code, ran.err) == (0, "")
    assert without_chance(json.loads((tmp_path / "board.json").read_text())) == json.loads(SNAPSHOT.read_text())


def test_the_panels_show_what_was_swept_and_measured_of_this_sweep_alone(grid, sweeps, tmp_path) -> None:
    sweeps("dashboard", "grid", "--json", "board.json")
    said = (tmp_path / "board.json").read_text()
    types = ("Scatter Plot", "Parallel Coordinates Plot", "Parameter Importance", "Weave")
    for part in (*types, "toxicity/toxic_rate", "lm_eval/average", "perplexity/story", "alpha", "top_k", "grid"):
        assert part in said


def test_it_is_saved_with_the_key_and_its_address_told(grid, sweeps, account) -> None:
    ran = sweeps("dashboard", "grid", "--entity", "team", "--project", "proof")
    assert ran.code == 0, ran.err
    assert "/team/proof?nw=" in ran.out
    (view,) = account.views
    assert (view["entityName"], view["projectName"]) == ("team", "proof")
    assert "toxicity/toxic_rate" in json.dumps(view)


def test_without_a_key_one_line_says_what_to_do(grid, sweeps, account, monkeypatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    ran = sweeps("dashboard", "grid")
    assert ran.code == 1
    assert "--json FILE" in ran.err
    assert account.views == []
