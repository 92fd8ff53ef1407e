"""A LLaMA with random weights and words of its own, and texts of those words."""

import random
from dataclasses import dataclass
from typing import Any, Self

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LONGEST = 100


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; those of LLaMA2-7B unless told otherwise."""

    width: int = 4096
    inner: int = 11_008
    layers: int = 32
    heads: int = 32
    words: int = 32_000
    rows: int = 16_384

    @classmethod
    def of(cls, config: Any) -> Self:
        """That of a model, with as large a share of its gate rows edited as of LLaMA2-7B's."""
        inner, layers = config.intermediate_size, config.num_hidden_layers
        rows = round(inner * layers * cls.rows / (cls.inner * cls.layers))
        return cls(config.hidden_size, inner, layers, config.num_attention_heads, config.vocab_size, rows)

    def config(self) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=self.words,
            hidden_size=self.width,
            intermediate_size=self.inner,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            # No word ends a continuation, so that all are of the same length.
            eos_token_id=None,
        )


SMALL = Shape(width=128, inner=344, layers=4, heads=4, words=2000, rows=64)


def make_model(shape: Shape, device: str) -> LlamaForCausalLM:
    """Random weights of the usual size, made where they are used; in float32 on a processor."""
    torch.manual_seed(0)
    with torch.device(device):
        torch.set_default_dtype(torch.float32 if device == "cpu" else torch.bfloat16)
        try:
            model = LlamaForCausalLM(shape.config())
        finally:
            torch.set_default_dtype(torch.float32)
    model.eval().requires_grad_(False)
    return model


def make_tokenizer(words: int) -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": 0, "<s>": 1, **{f"w{i}": i for i in range(2, words)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>")


def make_texts(count: int, words: int, length: int | None = None) -> list[str]:
    """Texts of log-normal length (median 40 words), as comments are, or all of one length."""
    chance = random.Random(0)
    lengths = [length or min(LONGEST, max(1, round(chance.lognormvariate(3.7, 0.7)))) for _ in range(count)]
    return [" ".join(f"w{chance.randrange(2, words)}" for _ in range(one)) for one in lengths]
