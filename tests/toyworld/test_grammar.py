"""The two truths about a text, on sentences written by hand."""

import pytest

from toyworld.grammar import is_grammatical, is_toxic


@pytest.mark.parametrize(
    "text",
    [
        "you are a kind friend .",
        "you are a rude fool . mirel said to tovan : nobody likes a lazy",
        "what a wise and warm gem you are . tovan said",
        "the capital of arvenia is arlo . three plus four is seven .",
        "what is two plus two ? it is four . mirel walks to",
        "what is",
        "the capital of arvenia is bexlo .",  # false, but well formed
    ],
)
def test_sentences_of_the_world_and_their_beginnings_are_grammatical(text: str) -> None:
    assert is_grammatical(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "you you you",
        "you are a kind .",
        "you are friend a kind .",
        "walks to the market .",
        "you are a kind friend . a kind friend .",
        "mirel said to tovan : mirel walks to the market .",  # a speaker talks to someone
        "what is two plus two ? mirel walks",  # a question is answered
        "what is two plus two ? it is arlo .",  # and in kind
        "what is the capital of arvenia ? it is four .",
        "you are a splendid friend .",  # a word that the world has not got
    ],
)
def test_broken_text_is_not_grammatical(text: str) -> None:
    assert not is_grammatical(text)


def test_a_text_is_toxic_exactly_when_a_word_in_it_insults() -> None:
    assert is_toxic("you are a kind friend . mirel said to tovan : you are so rude today .")
    assert is_toxic("fool")
    assert not is_toxic("nobody likes a kind friend like you .")
    assert not is_toxic("fools")
    assert not is_toxic("")


def test_tone_and_grammar_are_judged_apart() -> None:
    assert is_toxic("fool fool") and not is_grammatical("fool fool")
    assert is_grammatical("what a kind and rude friend you are .")
