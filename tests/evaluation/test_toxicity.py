import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from detoxify import Detoxify
from made_metrics import assert_named_beforehand

from evaluation.toxicity import Toxicity
from surgery.errors import InputError

from .conftest import WORDS, DetoxifyFiles

TEXTS = [" ".join(WORDS[(i * j) % 40] for j in range(1 + (7 * i) % 13)) for i in range(30)] + [""]


@pytest.fixture
def toxicity(detoxify_files: DetoxifyFiles) -> Toxicity:
    return Toxicity(checkpoint=detoxify_files.checkpoint, config=detoxify_files.config, device="cpu", batch_size=7)


def test_scores_are_those_of_detoxify_asked_text_by_text(
    toxicity: Toxicity, detoxify_files: DetoxifyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Detoxify itself finds the config only when the folder is called by the hub name in the checkpoint.
    shutil.copytree(detoxify_files.config, tmp_path / "bert-base-uncased")
    monkeypatch.chdir(tmp_path)
    plain = Detoxify(checkpoint=str(detoxify_files.checkpoint), huggingface_config_path="bert-base-uncased")
    for label in ("toxicity", "insult"):
        expected = [plain.predict(text)[label] for text in TEXTS]
        scores = replace(toxicity, label=label).score([""] * len(TEXTS), TEXTS)
        assert_named_beforehand(toxicity, scores)
        assert scores["toxicity/mean"].tolist() == pytest.approx(expected, abs=1e-5)
        assert scores["toxicity/toxic_rate"].tolist() == [float(value >= 0.5) for value in expected]
        assert 0 < scores["toxicity/toxic_rate"].mean() < 1


def test_scores_do_not_depend_on_the_batch_or_the_order(toxicity: Toxicity) -> None:
    expected = toxicity.score(TEXTS, TEXTS)["toxicity/mean"]
    for size in (1, 64):
        assert replace(toxicity, batch_size=size).score(TEXTS, TEXTS)["toxicity/mean"] == pytest.approx(
            expected, abs=1e-5
        )
    backwards = toxicity.score(TEXTS, TEXTS[::-1])["toxicity/mean"]
    assert backwards[::-1] == pytest.approx(expected, abs=1e-5)


def test_memory_that_runs_out_halves_the_texts_and_later_runs_begin_there(
    toxicity: Toxicity, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = toxicity.score(TEXTS, TEXTS)
    assert expected.batches == {"texts_per_batch": 7, "halvings": 0}
    predict, asked = Detoxify.predict, list[int]()

    def limited(self: Detoxify, texts: list[str]) -> Any:
        asked.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(self, texts)

    monkeypatch.setattr(Detoxify, "predict", limited)
    halved, again = toxicity.score(TEXTS, TEXTS), toxicity.score(TEXTS, TEXTS)
    assert halved.batches == {"texts_per_batch": 1, "halvings": 2}
    assert again.batches == {"texts_per_batch": 1, "halvings": 0}
    assert [count for count in asked if count > 2] == [7, 3]
    for scores in (halved, again):
        assert scores["toxicity/mean"] == pytest.approx(expected["toxicity/mean"], abs=1e-5)


def test_a_score_at_the_threshold_is_toxic(toxicity: Toxicity) -> None:
    scores = toxicity.score(TEXTS, TEXTS)["toxicity/mean"]
    rates = replace(toxicity, threshold=float(scores[3])).score(TEXTS, TEXTS)["toxicity/toxic_rate"]
    assert rates.tolist() == (scores >= scores[3]).tolist()
    assert rates[3] == 1


def test_an_empty_or_an_endless_text_is_scored_too(toxicity: Toxicity) -> None:
    scores = toxicity.score([""] * 2, ["", "w1 " * 500])["toxicity/mean"]
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.slow
def test_it_loads_without_a_network_from_any_folder_by_relative_paths(
    detoxify_files: DetoxifyFiles, tmp_path: Path
) -> None:
    """In a process of its own, with no cache to fall back on."""
    program = (
        "from evaluation.toxicity import Toxicity\n"
        f"scorer = Toxicity(checkpoint={os.path.relpath(detoxify_files.checkpoint, tmp_path)!r}, "
        f"config={os.path.relpath(detoxify_files.config, tmp_path)!r}, device='cpu')\n"
        "scorer.check()\n"
        "print(float(scorer.score([''], ['w1 w2 w3'])['toxicity/mean'][0]))\n"
    )
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "empty"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    here = Toxicity(checkpoint=detoxify_files.checkpoint, config=detoxify_files.config, device="cpu")
    assert float(done.stdout) == pytest.approx(here.score([""], ["w1 w2 w3"])["toxicity/mean"][0], abs=1e-6)


class Harmful:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_checkpoint_that_could_run_code_is_refused_unless_trusted(
    toxicity: Toxicity, detoxify_files: DetoxifyFiles, tmp_path: Path
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "harmful.ckpt"
    torch.save({**detoxify_files.contents, "more": Harmful(mark)}, path)
    with pytest.raises(InputError, match="set trust_checkpoint=true") as raised:
        replace(toxicity, checkpoint=path).score([""], ["w1"])
    assert "\n" not in str(raised.value)
    assert not mark.exists()
    trusted = replace(toxicity, checkpoint=path, trust_checkpoint=True).score([""], ["w1"])
    assert mark.exists()
    assert trusted["toxicity/mean"] == pytest.approx(toxicity.score([""], ["w1"])["toxicity/mean"])


def test_files_that_can_not_be_used_say_why_in_one_line(
    toxicity: Toxicity, detoxify_files: DetoxifyFiles, tmp_path: Path
) -> None:
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    other = tmp_path / "other"
    shutil.copytree(detoxify_files.config, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "hidden_size": 20}))
    for changed, says in (
        ({"checkpoint": tmp_path / "absent.ckpt"}, "is not there"),
        ({"checkpoint": tmp_path}, "is a folder"),
        ({"config": None}, "without a config"),
        ({"config": tmp_path}, "config.json' is not there"),
        ({"checkpoint": None}, "config is given without a checkpoint"),
        ({"checkpoint": None, "config": None, "variant": "orignal"}, "it has original, unbiased"),
        ({"threshold": 1.5}, "threshold=1.5"),
        ({"label": "rude"}, "its classes are toxicity, insult"),
        ({"checkpoint": tmp_path / "foreign.ckpt"}, "not in Detoxify's format"),
        ({"checkpoint": tmp_path / "text.ckpt"}, "is no checkpoint|can't be read"),
        ({"checkpoint": tmp_path / "empty.ckpt"}, "can't be read|no checkpoint"),
        ({"config": other}, "does not fit the config"),
    ):
        with pytest.raises(InputError, match=says) as raised:
            replace(toxicity, **changed).score([""], ["w1"])  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)


def test_the_identity_is_of_the_files_contents(
    toxicity: Toxicity, detoxify_files: DetoxifyFiles, tmp_path: Path
) -> None:
    identity = toxicity.identity()
    shutil.copytree(detoxify_files.config, tmp_path / "config")
    shutil.copy(detoxify_files.checkpoint, tmp_path / "other-name.ckpt")
    moved = replace(toxicity, checkpoint=tmp_path / "other-name.ckpt", config=tmp_path / "config", device="cuda")
    assert moved.identity() == identity
    with (tmp_path / "config" / "config.json").open("a") as file:
        file.write(" ")
    assert moved.identity() != identity
    assert replace(toxicity, label="insult").identity() != identity
    assert replace(toxicity, threshold=0.4).identity() != identity


def test_scoring_leaves_the_global_random_state(detoxify_files: DetoxifyFiles, tmp_path: Path) -> None:
    path = tmp_path / "again.ckpt"
    torch.save({**detoxify_files.contents, "note": "another file, so that it is loaded again"}, path)
    before = torch.get_rng_state()
    Toxicity(checkpoint=path, config=detoxify_files.config, device="cpu").score([""], ["w1"])
    assert torch.equal(torch.get_rng_state(), before)
