"""The judge of mood: a small BERT in Hugging Face's own format, trained on the grammar's truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertForSequenceClassification, BertTokenizer

from toyworld import scorer
from toyworld.chat.grammar import CHAT_WORLD, mood

CLASSES = ("negative", "neutral", "positive")


def moods(texts: Sequence[str]) -> Tensor:
    """The true class of each text, [b]."""
    return torch.tensor([CLASSES.index(mood(text)) for text in texts])


def train_judge(texts: list[str], steps: int, seed: int) -> tuple[BertForSequenceClassification, BertTokenizer]:
    """A judge and its tokenizer; the same seed gives the same weights."""
    tokenizer = scorer.make_tokenizer(CHAT_WORLD.vocabulary())
    model = scorer.make_model(tokenizer, seed, CLASSES)
    scorer.train(model, tokenizer, texts, steps, seed, moods, cross_entropy)
    return model, tokenizer


@torch.no_grad()
def agreement(model: BertForSequenceClassification, tokenizer: BertTokenizer, texts: list[str]) -> float:
    """The share of texts whose mood the judge names rightly."""
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return float((model(**batch).logits.argmax(1) == moods(texts)).double().mean())


def save_judge(model: BertForSequenceClassification, tokenizer: BertTokenizer, folder: Path) -> None:
    """Write what `AutoModelForSequenceClassification` loads."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
