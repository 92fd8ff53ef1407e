import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from surgery import fit_probe
from surgery.texts.text_split import split_texts
from surgery.texts.words import text_key


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.floats(0.1, 0.9), st.integers(0, 1000))
def test_where_all_texts_differ_it_is_the_split_that_scikit_learn_makes(n: int, share: float, seed: int) -> None:
    labels = [int(i % 3 == 0) for i in range(n)]
    train, test = train_test_split(np.arange(n), test_size=share, random_state=seed, stratify=labels)
    for texts in (None, [f"text {i}" for i in range(n)]):
        found = split_texts(labels, share, seed, texts)
        assert [part.tolist() for part in found] == [sorted(train.tolist()), sorted(test.tolist())]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=20, max_size=60), st.integers(0, 1000), st.booleans())
def test_no_text_and_none_of_its_copies_stand_on_both_sides(copies: list[int], seed: int, contrary: bool) -> None:
    rows = [(f"Text {i}" if j % 2 else f" text  {i} ", i % 2) for i, n in enumerate(copies) for j in range(n)]
    if contrary:
        rows += [("text 0", 1), ("text 1", 0)]
    order = np.random.default_rng(seed).permutation(len(rows))
    texts, labels = [rows[i][0] for i in order], [rows[i][1] for i in order]
    train, test = split_texts(labels, 0.2, seed, texts)
    assert sorted([*train, *test]) == list(range(len(rows)))
    sides = [{text_key(texts[i]) for i in part} for part in (train, test)]
    assert not sides[0] & sides[1]
    # The share is of the different texts.
    assert len(sides[1]) == -(-len(copies) // 5)


def test_a_probe_is_tested_on_texts_that_it_was_not_trained_on() -> None:
    """Random states and labels: a probe that has seen a text's copy knows its label, any other can't."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(60, 64, generator=generator).repeat_interleave(5, 0)
    labels = (torch.arange(60) % 2).repeat_interleave(5)
    texts = [f"text {i}" for i in range(60) for _ in range(5)]
    blind = fit_probe(states, labels, "logistic", test_share=0.3)
    seeing = fit_probe(states, labels, "logistic", test_share=0.3, texts=texts)
    assert blind.metrics["test_accuracy"] == 1
    assert seeing.metrics["test_accuracy"] < 0.8
    assert (seeing.metrics["n_test"], seeing.metrics["n_test_distinct"]) == (90, 18)
