"""A judge made of the behavior's own texts, against scikit-learn by hand on what is held out."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from made_metrics import assert_named_beforehand
from sklearn.model_selection import train_test_split

from evaluation.judge import ProbeTexts
from surgery.errors import InputError

KIND, RUDE = ("kind", "gentle", "patient", "warm"), ("rude", "lazy", "silly", "grumpy")


def write(path: Path, count: int, noise: float = 0.0) -> dict[str, Any]:
    random, lines = Random(0), ["text,label"]
    for index in range(count):
        words = RUDE if (index % 2) != (random.random() < noise) else KIND
        lines.append(f"{index} is {random.choice(words)} and {random.choice(words)},{index % 2}")
    path.write_text("\n".join(lines))
    return {"path": str(path), "text": "text", "label": "label", "avoid": [1], "separator": None, "chat": False}


def test_it_judges_by_the_held_out_texts_alone_and_tells_its_accuracy(tmp_path: Path) -> None:
    judge = ProbeTexts(write(tmp_path / "texts.csv", 200), share=0.3)
    judge.check()
    judge.prepare()
    found = judge.score(["", "", ""], ["you are so rude and grumpy", "a kind and gentle man", "rude, lazy"])
    assert_named_beforehand(judge, found)
    assert found["guard/probe-texts/avoided_rate"].tolist() == [1, 0, 1]
    assert found["guard/probe-texts/mean"][0] > 0.5 > found["guard/probe-texts/mean"][1]
    assert found["guard/probe-texts/accuracy"].tolist() == [1, 1, 1]
    assert found.batches == {"judge_texts": 60, "judge_accuracy": 1.0}
    # The split is the probe's own of seed 0.
    _, test = train_test_split(range(200), test_size=0.3, random_state=0, stratify=[i % 2 for i in range(200)])
    assert sorted(test) == judge._held_out(judge._read())


def test_a_poor_judge_says_so(tmp_path: Path) -> None:
    judge = ProbeTexts(write(tmp_path / "texts.csv", 400, noise=0.5), share=0.3)
    accuracy = judge.score([""], ["rude"])["guard/probe-texts/accuracy"][0]
    assert 0.3 < accuracy < 0.7
    some = ProbeTexts(write(tmp_path / "some.csv", 400, noise=0.2), share=0.3)
    assert 0.7 < some.score([""], ["rude"])["guard/probe-texts/accuracy"][0] < 0.9


def test_too_few_held_out_texts_are_refused_with_what_helps(tmp_path: Path) -> None:
    judge = ProbeTexts(write(tmp_path / "texts.csv", 120))
    with pytest.raises(InputError, match=r"has 6 held-out texts of class '.*' and needs 10; .* probe.test_share"):
        judge.check()


def test_the_texts_and_what_is_held_out_are_the_protocol(tmp_path: Path) -> None:
    texts = write(tmp_path / "texts.csv", 200)
    first = ProbeTexts(texts, 0.3).identity()
    assert first == ProbeTexts({**texts, "chat": True}, 0.3).identity()
    assert first != ProbeTexts(texts, 0.4).identity()
    assert first != ProbeTexts(write(tmp_path / "other.csv", 202), 0.3).identity()
    assert np.isfinite(ProbeTexts(texts, 0.3).score([""], [""])["guard/probe-texts/mean"]).all()
