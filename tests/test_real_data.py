"""Real inputs: a pretrained model and real text, kept beside the project."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
pytestmark = pytest.mark.real_data

GLAD = "[0,1,4,13,15,17,18,20,21,23]"
GLOOMY = "[2,3,9,10,11,14,16,24,25]"


def test_glad_against_gloomy_from_hidden_states_to_a_record(tmp_path: Path) -> None:
    texts = SHARED / "data" / "goemotions"
    story = tmp_path / "story.txt"
    lines = [line.split("\t")[0] for line in (texts / "dev.tsv").read_text().splitlines()[:60]]
    story.write_text("\n".join(lines))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"Once upon a time {name} was sad because" for name in ("Tom", "Lily", "Ben", "Mia")))
    command = [
        str(Path(sys.executable).parent / "surgery"),
        f"model.path={SHARED / 'models' / 'stories260k'}",
        f"behavior.path={texts / 'train.tsv'}",
        "behavior.text=0",
        "behavior.label=1",
        "behavior.separator=,",
        f"behavior.avoid={GLOOMY}",
        f"behavior.against={GLAD}",
        "behavior.limit=6000",
        "probe=logistic",
        "alpha=1",
        "alpha_unit=unit",
        "top_k=40",
        f"evaluation.text={story}",
        "tracking=none",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False)
    assert ended.returncode == 0, ended.stderr
    [result] = (tmp_path / "outputs").glob("runs/stories260k-train/*/result.json")
    record = json.loads(result.read_text())
    # Glad and gloomy comments are two thirds glad here, so a probe that learned nothing scores 0.64.
    assert record["metrics"]["probe/test_accuracy"]["edited"] > 0.66
    assert record["edit"]["rows"] == 40
    assert record["probe"]["texts"] == 6000
    perplexity = record["metrics"]["perplexity/story"]
    assert perplexity["edited"] != perplexity["base"]
    assert 1 < perplexity["edited"] < 10 * perplexity["base"]
    # Surgery moves the states away from the avoided class: the probe's loss rises there and falls on the other.
    assert record["metrics"]["probe/loss_avoided"]["delta"] > 0
    assert record["metrics"]["probe/loss_other"]["delta"] < 0
