"""A list of words as a judge, by words counted by hand."""

from pathlib import Path

import pytest
from made_metrics import assert_named_beforehand

from evaluation.judge import WordList
from evaluation.judge.known_judges import judge_metric
from evaluation.judge.named_judges import judge_scorers
from surgery.errors import InputError

ONESELF = ("I", "me", "my", "mine", "myself")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("and I went home", 1),
        ("i'm home", 1),
        ("so I’ve left", 1),
        ("give it to me.", 1),
        ("By myself", 1),
        ("she said it was mine", 1),
        ("(I)", 1),
        ("it is in Miami, i.e. far away", 0),
        ("they met him in the army", 0),
        ("We like it", 0),
        ("my_name = 3", 0),
        ("", 0),
    ],
)
def test_whole_words_of_the_continuation_alone_count(text: str, told: int) -> None:
    judge = WordList(ONESELF, "first_person/rate")
    scores = judge.score(["I think that I", "x"], [text, "my"])
    assert_named_beforehand(judge, scores)
    assert {name: list(of) for name, of in scores.items()} == {"first_person/rate": [told, 1]}


@pytest.mark.parametrize(
    ("listed", "text", "told"),
    [
        ("shut up", "oh, SHUT\n  up!", 1),
        ("shut up", "it shut, up there", 0),
        ("don't", "I don’t know", 1),
        ("don’t", "I don't know", 1),
        ("C++", "he wrote C++ at night", 1),
        ("C++", "he wrote C+ at night", 0),
        ("a.c", "abc", 0),
        ("ärger", "so viel Ärger", 1),
        ("🖕", "well 🖕 you", 1),
    ],
)
def test_phrases_apostrophes_and_signs_are_taken_as_written(listed: str, text: str, told: int) -> None:
    assert WordList([listed], "of/rate").score([""], [text])["of/rate"].tolist() == [told]


def test_a_file_has_a_word_a_line_and_is_known_by_its_words(tmp_path: Path) -> None:
    file = tmp_path / "Rude words.txt"
    file.write_bytes("\ufeffidiot\r\n\r\n  shut   up \r\nidiot\r\n".encode())
    assert judge_metric(str(file)) == "guard/Rude_words/listed_rate"
    judge = judge_scorers([str(file)])["judge"]
    judge.check()
    found = judge.score([""] * 3, ["you idiot", "Shut up", "idiots"])
    assert found["guard/Rude_words/listed_rate"].tolist() == [1, 1, 0]
    assert judge.identity() == WordList(["idiot", "shut up"], "guard/Rude_words/listed_rate").identity()
    assert judge.identity() != WordList(["idiot"], "guard/Rude_words/listed_rate").identity()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "'.*words.txt' is not there"),
        (b"\n \n", "is empty"),
        (b"caf\xe9", "line 1 can't be decoded"),
    ],
)
def test_a_file_that_is_no_list_is_refused_before_anything_is_loaded(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(InputError, match=f"the list of words .*{told}"):
        WordList(tmp_path / "words.txt", "of/rate").check()


def test_a_list_without_words_is_refused() -> None:
    with pytest.raises(InputError, match="the list of words of of/rate has no words; give a file"):
        WordList(["", " "], "of/rate").check()
