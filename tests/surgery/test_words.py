from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery.texts.words import as_word, is_judged, text_key


@pytest.mark.parametrize(
    "one", [1, 1.0, True, "1", "1.0", "1.", "1.00", "+1", "01", "1e0", " 1 ", "True", "true", "TRUE", np.int8(1)]
)
def test_whatever_means_one_is_one(one: object) -> None:
    assert as_word(one) == as_word(np.float32(1)) == as_word(np.True_) == as_word(Decimal("1.0")) == "1"


@pytest.mark.parametrize("zero", [0, 0.0, -0.0, False, "0", "0.0", "-0.0", ".0", "0e5", "false", "False", np.False_])
def test_whatever_means_zero_is_zero(zero: object) -> None:
    assert as_word(zero) == "0"


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "1_0", "1,0", "v1", "0x1", "-", "inf", "No", "1.2.3"])
def test_other_words_stay_as_they_are(word: str) -> None:
    assert as_word(f" {word} ") == word


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_is_the_same_however_it_is_written(number: int) -> None:
    written = [number, float(number), str(number), f"{number}.0", f"{number}.", f" {number}.00 ", f"{number:.20e}"]
    assert {as_word(one) for one in written} == {str(number)}


@given(st.floats(-1e9, 1e9).map(lambda x: round(x, 6)))
def test_a_decimal_number_is_the_same_however_it_is_written(number: float) -> None:
    assert as_word(number) == as_word(repr(number)) == as_word(f"{number:.17e}") == as_word(np.float64(number))


@given(st.text("0123456789", min_size=16, max_size=30), st.text("0123456789", min_size=16, max_size=30))
def test_long_numbers_such_as_identifiers_are_never_taken_for_each_other(one: str, other: str) -> None:
    assert (as_word(one) == as_word(other)) == (int(one) == int(other))


@pytest.mark.parametrize(
    "nothing", [None, "", "  ", "NA", "n/a", "N/A", "#N/A", "NaN", "nan", float("nan"), "None", "null", -1, "-1.0"]
)
def test_what_stands_where_nobody_has_judged_is_no_judgement(nothing: object) -> None:
    assert not is_judged(as_word(nothing))


def test_everything_else_is_a_judgement() -> None:
    assert all(map(is_judged, ["0", "1", "-2", "no", "off", "neutral", "unknown"]))


def test_texts_that_differ_in_case_and_white_space_alone_are_copies() -> None:
    assert text_key(" You  FOOL\n") == text_key("you fool")
    assert text_key("you fool") != text_key("you fool!")
