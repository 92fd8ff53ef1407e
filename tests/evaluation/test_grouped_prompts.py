"""Several sets of prompts: each metric of all and of each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_metrics import assert_named_beforehand

from evaluation.continuations import Continuations
from evaluation.generation import Generation
from evaluation.grouped_prompts import PromptSets
from evaluation.refusal import Overrefused, Refusal
from surgery.errors import InputError


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Continuations | None]:
    made: dict[str, Continuations | None] = {}
    for name, first, count in (("one", 0, 6), ("two", 3, 4)):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"w{i} w{i + 2}" for i in range(first, first + count)))
        generation = Generation(max_new_tokens=4)
        made[name] = Continuations(
            tmp_path / f"{name}.txt", generation=generation, scorers={"refusal": Refusal(["w3", "w1"])}
        )
    return made


def test_all_together_are_the_prompts_of_each(model: Any, tokenizer: Any, sets: dict[str, Any]) -> None:
    evaluator = PromptSets({**sets, "left out": None, "not given": Continuations([])})
    evaluator.check()
    measured = {(one.name, one.half): one for one in evaluator.measure(model, tokenizer)}
    assert_named_beforehand(evaluator, [name for name, _ in measured])
    name = "jailbreak/refusal_rate"
    for half in ("report", "selection"):
        each = [
            next(one for one in sets[part].measure(model, tokenizer) if (one.name, one.half) == (name, half))
            for part in ("one", "two")
        ]
        whole = measured[name, half]
        assert whole.scores.tolist() == np.concatenate([one.scores for one in each]).tolist()
        assert whole.outputs == (*(each[0].outputs or ()), *(each[1].outputs or ()))
        # A prompt that stands in both sets is a sample of each.
        assert len(set(whole.sample_ids)) == whole.n
        assert measured[f"{name}/one", half].scores.tolist() == each[0].scores.tolist()
        assert measured[f"{name}/two", half].inputs == each[1].inputs
    assert set(measured) == {
        (f"{name}{ending}", half) for ending in ("", "/one", "/two") for half in ("report", "selection")
    }


def test_a_first_look_has_samples_of_the_whole(model: Any, tokenizer: Any, sets: dict[str, Any]) -> None:
    evaluator = PromptSets(sets)
    whole = {(one.name, one.half): one for one in evaluator.measure(model, tokenizer)}
    first = evaluator.first_look()
    assert first is not None
    for one in first.measure(model, tokenizer):
        assert one.scores.tolist() == whole[one.name, one.half].only(one.sample_ids).scores.tolist()
    assert PromptSets({"one": replace(sets["one"], half="report")}).first_look() is None


def test_what_is_wrong_with_a_set_is_told(sets: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no set of prompts is given"):
        PromptSets({"one": None}).check()
    few = replace(sets["one"], at_least=20, scorers={"refusal": Overrefused()})
    with pytest.raises(InputError, match=r"one\.txt gives 6 prompts; at least 20 are needed"):
        PromptSets({**sets, "few": few}).check()
    assert PromptSets(sets).identity() != PromptSets({"one": sets["one"]}).identity()
