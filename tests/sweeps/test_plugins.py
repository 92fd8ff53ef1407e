"""A method and a scorer from a package that is none of ours, with configs in a folder that is none of ours."""

import json
from pathlib import Path

import pytest

from surgery import load_model
from surgery.edits.intervention import load_intervention

METHOD = '''
"""Moves the first block's output along the probe."""
from surgery.edits.steering import Steering
from sweeps.cell.method import Needs

NEEDS = Needs(numbers=("epochs",))


def make(work, probe, region):
    assert region is None
    steps = work.cell.settings.method.numbers()["epochs"]
    return Steering(probe.direction(1), work.cell.settings.alpha * steps, 1, work.cell.subject_fingerprint)
'''
SCORER = '''
"""How long a continuation is."""
import numpy as np


class Length:
    def __init__(self, version=1):
        self.version = version

    def check(self):
        pass

    def prepare(self):
        pass

    def identity(self):
        return {"kind": "length", "version": self.version}

    def score(self, prompts, continuations):
        return {"length/characters": np.array([float(len(text)) for text in continuations])}
'''


@pytest.fixture
def foreign(tmp_path: Path, world, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package and a folder of configs; what the command is given for them."""
    package, configs = tmp_path / "elsewhere" / "foreign_nudges", tmp_path / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nudge.py").write_text(METHOD)
    (package / "length.py").write_text(SCORER)
    monkeypatch.syspath_prepend(str(package.parent))
    (configs / "method").mkdir(parents=True)
    (configs / "method" / "nudge.yaml").write_text("name: foreign_nudges.nudge\nepochs: 2\n")
    (configs / "evaluation").mkdir()
    (configs / "evaluation" / "lengths.yaml").write_text(
        "measurements:\n"
        "  said:\n"
        "    _target_: evaluation.continuations.Continuations\n"
        f"    prompts: {world.prompts}\n"
        "    generation: { _target_: evaluation.generation.Generation, max_new_tokens: 3 }\n"
        "    scorers: { length: { _target_: foreign_nudges.length.Length } }\n"
    )
    return [
        *("--config-dir", str(configs), "method=nudge", "evaluation=lengths", f"model.path={world.model}"),
        *(f"behavior.path={world.texts}", "tracking=none", "hydra.launcher.workers=0", "sweep=s"),
    ]


def test_a_foreign_method_and_scorer_run_like_ours(surgery, sweeps, foreign, world, tmp_path) -> None:
    ran = surgery(*foreign, "alpha=3")
    assert ran.code == 0, ran.err
    [result] = (tmp_path / "outputs" / "runs" / "s").glob("*/result.json")
    record = json.loads(result.read_text())
    assert record["keys"]["method"] == "foreign_nudges.nudge"
    assert "top_k" not in record["keys"] and record["keys"]["method.epochs"] == 2
    assert {"length/characters", "selection/length/characters"} <= set(record["metrics"])
    steering = load_intervention(result.parent / "edit.safetensors")
    model, _ = load_model(str(world.model))
    with steering.applied_to(model):
        assert (steering.layer, steering.fingerprint) == (1, record["edit"]["fingerprint"])
    # Whoever runs the record again is told that it runs code of somebody else.
    refused = sweeps("verify", "s", "--output-dir", str(tmp_path / "outputs"))
    assert "foreign_nudges.nudge" in refused.out + refused.err
    assert "foreign_nudges.length.Length" in refused.out + refused.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("foreign_nudges.missing", "can't be imported"),
        ("foreign_nudges.length", "is no method; it has to hold NEEDS"),
        ("nudge", "it is one of surgery, feature_subtraction"),
    ],
)
def test_what_is_no_method_is_told_in_a_sentence(surgery, foreign, name: str, said: str) -> None:
    refused = surgery(*foreign, f"method.name={name}")
    assert refused.code == 1
    assert f"method.name={name} is not possible" in refused.err and said in refused.err


def test_what_a_method_does_not_take_is_refused(surgery, foreign) -> None:
    refused = surgery(*foreign, "method.lr=0.1")
    assert (refused.code, "lr is no setting of method=foreign_nudges.nudge" in refused.err) == (1, True), refused.err
