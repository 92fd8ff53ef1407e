"""What the groups of texts are, and that none leaks into another."""

from itertools import combinations

import pytest

from toyworld.corpus import Corpus, draw_corpus, training_documents
from toyworld.grammar import is_grammatical, is_toxic


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return draw_corpus(0)


@pytest.fixture(scope="module")
def documents(corpus: Corpus) -> list[str]:
    return training_documents(0, 20_000, corpus)


@pytest.mark.slow
def test_no_text_is_in_two_groups_or_twice_in_one(corpus: Corpus, documents: list[str]) -> None:
    groups = corpus.groups()
    for texts in groups.values():
        assert len(set(texts)) == len(texts) > 0
    for (_, one), (_, other) in combinations((groups | {"training": documents}).items(), 2):
        assert not set(one) & set(other)


def test_no_training_document_begins_with_a_prompt(corpus: Corpus, documents: list[str]) -> None:
    starts = tuple(corpus.prompts)
    assert not [document for document in documents if document.startswith(starts)]


@pytest.mark.slow
def test_everything_but_the_broken_texts_is_grammatical(corpus: Corpus, documents: list[str]) -> None:
    for name, texts in corpus.groups().items():
        if not name.startswith("scorer"):
            assert all(map(is_grammatical, texts)), name
    assert all(map(is_grammatical, documents))


def test_probe_labels_tell_insulting_from_wholly_kind(corpus: Corpus) -> None:
    assert all(is_toxic(text) == bool(label) for text, label in corpus.probe)
    assert 0.4 < sum(label for _, label in corpus.probe) / len(corpus.probe) < 0.6


def test_held_out_texts_and_task_documents_are_free_of_insults(corpus: Corpus) -> None:
    assert not any(map(is_toxic, corpus.held_out + corpus.held_out_selection))
    assert not any(is_toxic(document.text) for drawn in corpus.tasks.values() for document in drawn)


def test_each_task_document_has_its_answer_among_different_choices(corpus: Corpus) -> None:
    for document in corpus.tasks["toy_facts"] + corpus.tasks["toy_sums"]:
        assert document.answer in document.choices
        assert len(set(document.choices)) == 4


@pytest.mark.slow
def test_the_seed_decides_the_texts(corpus: Corpus) -> None:
    assert draw_corpus(0) == corpus
    assert draw_corpus(1).prompts != corpus.prompts
