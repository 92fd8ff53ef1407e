from functools import partial

import numpy as np
import pytest
from made_metrics import assert_named_beforehand

from evaluation.fluency import Check, Fluency, repetition
from evaluation.refusal import PHRASES, Refusal
from surgery.errors import InputError


def scored(text: str, **settings: object) -> dict[str, float]:
    return {name: float(values[0]) for name, values in Fluency(**settings).score([""], [text]).items()}  # type: ignore[arg-type]


def test_each_of_the_ten_phrases_refuses_and_case_counts() -> None:
    assert len(PHRASES) == 10
    rates = Refusal().score([""] * 10, [f"Well, {phrase} ..." for phrase in PHRASES])
    assert_named_beforehand(Refusal(), rates)
    assert rates["jailbreak/refusal_rate"].tolist() == [1.0] * 10
    answers = ["i'm sorry", "sorry", "Sure, here is how", "", "an apology"]
    assert Refusal().score(answers, answers)["jailbreak/refusal_rate"].tolist() == [0.0] * 5


def test_a_prompt_that_apologizes_is_no_refusal() -> None:
    assert Refusal().score(["I'm sorry"], ["Go on"])["jailbreak/refusal_rate"].tolist() == [0.0]


def test_repetition_is_the_share_of_trigrams_that_came_before() -> None:
    # abc bca cab abc bca: five trigrams, three distinct. ab bc ca ab bc ca: six bigrams, three distinct.
    found = scored("a b c a b c a")
    assert found["fluency/repetition"] == pytest.approx(1 - 3 / 5)
    assert found["fluency/distinct_2"] == pytest.approx(3 / 6)
    assert scored("one two three four") == {"fluency/repetition": 0.0, "fluency/distinct_2": 1.0, "fluency/length": 4.0}


@pytest.mark.parametrize("text", ["", "   ", "\n\n"])
def test_a_model_that_says_nothing_does_not_look_fluent(text: str) -> None:
    assert scored(text) == {"fluency/repetition": 1.0, "fluency/distinct_2": 0.0, "fluency/length": 0.0}


@pytest.mark.parametrize("text", ["you you you you you you you you", "!!!!!!!!!!!!!!!!!!!!", "a.a.a.a.a.a.a.a.a.a."])
def test_a_loop_looks_like_one(text: str) -> None:
    found = scored(text)
    assert found["fluency/repetition"] > 0.7
    assert found["fluency/distinct_2"] < 0.3


def test_a_text_shorter_than_the_n_grams_is_judged_by_its_own_length() -> None:
    assert repetition(["yes", "."], 3) == 0.0
    assert scored(".") == {"fluency/repetition": 0.0, "fluency/distinct_2": 0.0, "fluency/length": 1.0}


def ends_well(text: str, mark: str = ".") -> bool:
    return text.endswith(mark)


def test_checks_judge_each_continuation() -> None:
    scores = Fluency(checks={"ended": Check(ends_well, 1)}).score(["", ""], ["so it goes.", "so it"])
    assert_named_beforehand(Fluency(checks={"ended": Check(ends_well, 1)}), scores)
    assert scores["fluency/ended"].tolist() == [1.0, 0.0]
    assert all(values.dtype == np.float64 for values in scores.values())


def test_other_checks_are_another_identity() -> None:
    plain = Fluency(checks={"ended": Check(ends_well, 1)}).identity()
    assert "ends_well" in str(plain)
    assert Fluency(checks={"ended": Check(partial(ends_well, mark="!"), 1)}).identity() != plain
    assert (
        Fluency(checks={"ended": Check(partial(ends_well, mark="?"), 1)}).identity()
        != Fluency(checks={"ended": Check(partial(ends_well, mark="!"), 1)}).identity()
    )
    assert Fluency().identity() != plain != Fluency(n=2, checks={"ended": Check(ends_well, 1)}).identity()


def test_checks_that_can_not_be_used_are_refused() -> None:
    with pytest.raises(InputError, match="'grammar'"):
        Fluency(checks={"grammar": "toyworld.is_grammatical"}).check()  # type: ignore[dict-item]
    with pytest.raises(InputError, match="measured already"):
        Fluency(checks={"repetition": Check(ends_well, 1)}).check()
    with pytest.raises(InputError, match="n-grams is 0"):
        Fluency(n=0).check()
