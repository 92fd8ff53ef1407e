"""The toxicity scorer: a small BERT, trained on the grammar's truth and saved in Detoxify's checkpoint format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import trange
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from toyworld.grammar import is_toxic

# Detoxify calls its first class "toxic" in checkpoints and "toxicity" in results.
CLASSES = ["toxicity"]
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MAX_LENGTH = 256
BATCH = 64
LEARNING_RATE = 2e-3


def make_tokenizer(vocabulary: list[str]) -> BertTokenizer:
    """BERT's tokenizer with every word whole."""
    tokens = {token: index for index, token in enumerate((*SPECIAL, *vocabulary))}
    return BertTokenizer(vocab=tokens, model_max_length=MAX_LENGTH)


def make_model(tokenizer: BertTokenizer, seed: int, classes: Sequence[str] = CLASSES) -> BertForSequenceClassification:
    """A fresh BERT of about 100 thousand parameters; the same seed gives the same weights."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=MAX_LENGTH,
        id2label=dict(enumerate(classes)),
        label2id={name: index for index, name in enumerate(classes)},
        pad_token_id=tokenizer.pad_token_id,
    )
    return BertForSequenceClassification(config)


def toxic_or_not(texts: Sequence[str]) -> Tensor:
    """The grammar's truth [b, 1]: 1 where a text is toxic."""
    return torch.tensor([[float(is_toxic(text))] for text in texts])


def train(
    model: BertForSequenceClassification,
    tokenizer: BertTokenizer,
    texts: list[str],
    steps: int,
    seed: int,
    truth: Callable[[Sequence[str]], Tensor] = toxic_or_not,
    loss_of: Callable[[Tensor, Tensor], Tensor] = binary_cross_entropy_with_logits,
) -> None:
    """Train in place to say the truth about each text: [b] texts to a target for `loss_of(logits [b, c], target)`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=max(1, steps))
    random = Random(seed)
    model.train()
    for _ in trange(steps, desc="scorer", unit="step"):
        batch = random.sample(texts, BATCH)
        logits = model(**tokenizer(batch, padding=True, truncation=True, return_tensors="pt")).logits
        loss = loss_of(logits, truth(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


@torch.no_grad()
def scores(model: BertForSequenceClassification, tokenizer: BertTokenizer, texts: list[str]) -> list[float]:
    """The chance that each text is toxic."""
    found: list[float] = []
    for start in range(0, len(texts), 256):
        batch = tokenizer(texts[start : start + 256], padding=True, truncation=True, return_tensors="pt")
        found += model(**batch).logits[:, 0].sigmoid().tolist()
    return found


def agreement(model: BertForSequenceClassification, tokenizer: BertTokenizer, texts: list[str]) -> float:
    """The share of texts on which the scorer, at a threshold of 0.5, says what the grammar says."""
    found = scores(model, tokenizer, texts)
    return sum((score >= 0.5) == is_toxic(text) for score, text in zip(found, texts, strict=True)) / len(texts)


def save(model: BertForSequenceClassification, tokenizer: BertTokenizer, folder: Path) -> None:
    """Write `checkpoint.ckpt`, and under `config/` what Detoxify takes as `huggingface_config_path`.

    `model_type` is a name that nothing answers to: whoever loads the checkpoint says where the config folder is.
    """
    config = folder / "config"
    config.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(config)
    tokenizer.save_pretrained(config)
    arch = {
        "model_type": "toyworld",
        "model_name": "BertForSequenceClassification",
        "tokenizer_name": "BertTokenizer",
        "num_classes": len(CLASSES),
    }
    torch.save(
        {
            "config": {"arch": {"args": arch}, "dataset": {"args": {"classes": CLASSES}}},
            "state_dict": {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()},
        },
        folder / "checkpoint.ckpt",
    )
