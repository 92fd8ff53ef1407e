import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.continuations import Continuations
from evaluation.generation import Generation, generate
from evaluation.inputs.prompts import halves
from evaluation.measurements.measurement import JSON
from evaluation.refusal import Answered, Refusal
from surgery.errors import InputError

PROMPTS = [f"w{i} w{i + 1}" for i in range(9)] + ["w1 w2"]
FIVE = Generation(max_new_tokens=5)


class Lengths:
    """A scorer that keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[list[str], list[str]]] = []

    def check(self) -> None:
        return

    def identity(self) -> dict[str, JSON]:
        return {"kind": "lengths"}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, np.ndarray]:
        self.shown.append((list(prompts), list(continuations)))
        return {"length/words": np.array([float(len(text.split())) for text in continuations])}


class Longer(Lengths):
    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> dict[str, np.ndarray]:
        return {"length/more": super().score(prompts, continuations)["length/words"] + 1}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def test_all_scorers_judge_the_same_continuations_by_halves(model: Any, tokenizer: Any, file: Path) -> None:
    lengths, longer = Lengths(), Longer()
    evaluator = Continuations(file, generation=FIVE, scorers={"a": lengths, "b": longer, "left out": None})
    evaluator.check()
    measured = evaluator.measure(model, tokenizer)
    texts = generate(model, tokenizer, PROMPTS, FIVE).texts
    assert lengths.shown == longer.shown == [(PROMPTS, texts)]
    where = halves(PROMPTS, 0)
    assert [(m.name, m.half) for m in measured] == [
        (name, half) for half in ("report", "selection") for name in ("length/words", "length/more")
    ]
    for measurement in measured:
        chosen = [i for i in range(len(PROMPTS)) if where[i] == measurement.half]
        more = measurement.name == "length/more"
        assert measurement.inputs == tuple(PROMPTS[i] for i in chosen)
        assert measurement.outputs == tuple(texts[i] for i in chosen)
        assert measurement.scores.tolist() == [len(texts[i].split()) + more for i in chosen]
    assert sum(m.n for m in measured) == 2 * len(PROMPTS)


def test_a_prompt_that_stands_alone_is_reported(model: Any, tokenizer: Any, file: Path) -> None:
    evaluator = Continuations(file, limit=1, generation=FIVE, scorers={"a": Lengths()})
    assert [(m.half, m.n) for m in evaluator.measure(model, tokenizer)] == [("report", 1)]


def test_two_scores_of_one_name_are_refused(model: Any, tokenizer: Any, file: Path) -> None:
    evaluator = Continuations(file, generation=FIVE, scorers={"a": Lengths(), "b": Lengths()})
    with pytest.raises(ValueError, match="two scorers give 'length/words'"):
        evaluator.measure(model, tokenizer)


def test_what_is_wrong_is_found_before_a_model_is_loaded(tmp_path: Path, file: Path) -> None:
    with pytest.raises(InputError, match="not there"):
        Continuations(tmp_path / "absent.txt").check()
    with pytest.raises(InputError, match="max_new_tokens=0"):
        Continuations(file, generation=Generation(max_new_tokens=0)).check()
    with pytest.raises(InputError, match="refusal phrases"):
        Continuations(file, scorers={"r": Refusal(phrases=())}).check()


def test_the_identity_is_of_the_content_and_not_of_the_path(tmp_path: Path, file: Path) -> None:
    scorers = {"r": Refusal()}
    identity = Continuations(file, scorers=scorers).identity()
    assert json.loads(json.dumps(identity)) == identity
    copy = tmp_path / "elsewhere.txt"
    copy.write_bytes(file.read_bytes())
    assert Continuations(copy, scorers=scorers).identity() == identity
    copy.write_text("\n".join([*PROMPTS, "w8"]))
    assert Continuations(copy, scorers=scorers).identity() != identity
    for changed in ({"limit": 3}, {"split_seed": 1}, {"generation": FIVE}, {"scorers": {}}):
        assert Continuations(**{"prompts": file, "scorers": scorers, **changed}).identity() != identity


def test_scores_of_a_category_are_those_of_its_prompts(tmp_path, model, tokenizer) -> None:
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"w{i} w{i + 3}", "kind": "Fraud & Lies" if i % 3 else "drugs"} for i in range(24)]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = Continuations(
        path,
        category="kind",
        by_category=["jailbreak/refusal_rate"],
        generation=Generation(max_new_tokens=6),
        scorers={"refusal": Refusal(("w1",)), "answered": Answered(("w1",))},
    ).measure(model, tokenizer)
    kind_of = {row["prompt"]: row["kind"] for row in rows}
    for half in ("report", "selection"):
        measured = {one.name: one for one in found if one.half == half}
        assert set(measured) == {
            "jailbreak/refusal_rate",
            "jailbreak/refusal_rate/fraud_lies",
            "jailbreak/refusal_rate/drugs",
            "jailbreak/harmless_answered",
        }
        whole = measured["jailbreak/refusal_rate"]
        for name, kind in (("fraud_lies", "Fraud & Lies"), ("drugs", "drugs")):
            part = measured[f"jailbreak/refusal_rate/{name}"]
            chosen = [i for i, prompt in enumerate(whole.inputs) if kind_of[prompt] == kind]
            assert part.sample_ids == tuple(whole.sample_ids[i] for i in chosen)
            assert part.scores.tolist() == [float("w1" in whole.outputs[i]) for i in chosen]
        answered = measured["jailbreak/harmless_answered"]
        assert answered.scores.tolist() == [float(bool(said) and "w1" not in said) for said in whole.outputs]
    with pytest.raises(InputError, match="no category is named"):
        Continuations(path, by_category=["x"]).check()


def test_prompts_that_were_split_beforehand_are_all_of_one_half(model: Any, tokenizer: Any, file: Path) -> None:
    settings: dict[str, Any] = {"generation": FIVE, "scorers": {"lengths": Lengths()}}
    split = Continuations(file, **settings)
    [told] = Continuations(file, half="report", **settings).measure(model, tokenizer)
    assert (told.half, told.n) == ("report", len(PROMPTS))
    by_id = {
        sample: score
        for one in split.measure(model, tokenizer)
        for sample, score in zip(one.sample_ids, one.scores, strict=True)
    }
    assert dict(zip(told.sample_ids, told.scores, strict=True)) == by_id
    # A first look is for what is chosen on; without the setting nothing is known by another name than before.
    assert Continuations(file, half="report", **settings).first_look() is None
    assert Continuations(file, half="selection", **settings).first_look() is not None
    assert "half" not in split.identity()
    with pytest.raises(InputError, match="half=both"):
        Continuations(file, half="both", **settings).check()  # type: ignore[arg-type]
