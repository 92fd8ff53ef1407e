"""The toy world's language model: a word-level tokenizer and a LLaMA of 6.4 million parameters, trained on CPU."""

from __future__ import annotations

import json
from functools import partial
from math import cos, pi
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from tqdm import trange
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
# Documents are packed into rows of this many tokens; every row begins with a document.
ROW = 96
BATCH = 24
LEARNING_RATE = 1.5e-3
WARM_UP = 0.1


def make_tokenizer(vocabulary: list[str], chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """One token a word; words are separated by spaces or newlines. The end token is also where a text begins."""
    tokens = {token: index for index, token in enumerate([PAD, END, UNKNOWN, *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # Without a decoder the tokens are joined by spaces, which is how the world writes.
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        bos_token=END,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
    )


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A fresh model; the same seed gives the same weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        pad_token_id=config.pad_token_id, bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id
    )
    return model


def pack(documents: list[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Rows of tokens [n, ROW]: whole documents, each with its end token, until a row is full; the last is cut."""
    rows: list[list[int]] = []
    row: list[int] = []
    for tokens in tokenizer([f"{document} {END}" for document in documents])["input_ids"]:
        row += tokens
        if len(row) >= ROW:
            rows.append(row[:ROW])
            row = []
    return torch.tensor(rows)


def rate_at(step: int, steps: int) -> float:
    """The share of the learning rate at a step: a linear warm-up, then half a cosine down to zero."""
    warm_up = max(1, int(steps * WARM_UP))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + cos(pi * (step - warm_up) / max(1, steps - warm_up)))


def train(model: LlamaForCausalLM, rows: Tensor, steps: int, seed: int) -> float:
    """Train in place for so many batches and return the mean loss of the last twentieth of them."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.95),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_at, steps=steps))
    random, order, losses = Random(seed), list[int](), list[float]()
    model.train()
    progress = trange(steps, desc="language model", unit="step")
    for _ in progress:
        if len(order) < BATCH:
            order = random.sample(range(len(rows)), len(rows))
        batch, order = rows[order[:BATCH]], order[BATCH:]
        # The weights stay fp32; the products in bf16 take two thirds of the time.
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()
    tail = losses[-max(1, steps // 20) :]
    return sum(tail) / len(tail)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write model and tokenizer as transformers 4 and 5 load them."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # transformers 5 writes the name of a class that transformers 4 has not got.
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
