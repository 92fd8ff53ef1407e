"""The real thing: llama.cpp runs what was exported, and says what the edited model says here."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFValueType
from gguf_world import NAMES, SENTENCES
from llama_cpp import llama_cpp

from surgery import Edit, fingerprint, load_model, rank_rows
from surgery.changes.factors import Factors
from surgery.edits.low_rank import LowRankChange
from surgery.files.gguf_file import GgufFile
from surgery.files.gguf_place import ADAPTER_FILE, MODEL_FILE
from surgery.gguf.gguf_content import GgufField
from surgery.gguf.gguf_export import adapter_content, model_content, save_gguf
from surgery.gguf.gguf_layout import GgufLayout
from surgery.gguf.gguf_llama import llama_content
from validation.fetch import catalogue, fetch, models_folder

pytestmark = pytest.mark.gguf

Make = Callable[..., Path]
ENDS = (0, 2)  # <|endoftext|> and <|im_end|>, in the tiny model as in SmolLM2
STARTS = [" ".join(text.split()[:length]) for length in (3, 6, 9) for text in SENTENCES[::60]]


def greedy(model: Any, prompts: Sequence[Sequence[int]], words: int, chain: Sequence[Any] = ()) -> list[list[int]]:
    """The tokens that follow each prompt here, without padding and without a cache; never one that ends a text."""
    said = []
    with torch.no_grad(), ExitStack() as stack:
        for one in chain:
            stack.enter_context(one.applied_to(model))
        for prompt in prompts:
            tokens = list(prompt)
            for _ in range(words):
                logits = model(torch.tensor([tokens])).logits[0, -1]
                logits[list(ENDS)] = -torch.inf
                tokens.append(int(logits.argmax()))
            said.append(tokens[len(prompt) :])
    return said


def shared(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """The share of prompts after which both say the same first word."""
    return sum(a[0] == b[0] for a, b in zip(one, other, strict=True)) / len(one)


def edit_of(model: Any, component: str, rows: int, norm: float) -> Edit:
    direction = torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(5))
    ranking = rank_rows(model, direction, component=component)
    return Edit(direction, norm, ranking.lowest(rows), "unit")


def lora_of(model: Any) -> LowRankChange:
    random = torch.Generator().manual_seed(6)
    sizes = {"q_proj": 64, "k_proj": 32}
    trained = tuple(
        Factors(
            f"model.layers.{layer}.self_attn.{name}.weight",
            layer + 1,
            torch.randn(2, 64, generator=random),
            0.05 * torch.randn(rows, 2, generator=random),
        )
        for layer in range(3)
        for name, rows in sizes.items()
    )
    return LowRankChange(trained, fingerprint(model))


@pytest.mark.parametrize("source", ["file", "folder"])
@pytest.mark.parametrize("component", ["gate_proj", "q_proj", "down_proj", "both"])
def test_it_says_what_the_edited_model_says_with_the_adapter_and_from_the_whole_file(
    make_gguf: Make, tiny_llama: Make, tmp_path: Path, source: str, component: str
) -> None:
    model, tokenizer = load_model(str(make_gguf("F32") if source == "file" else tiny_llama()))
    edit = edit_of(model, "gate_proj" if component == "both" else component, 60, 1.5)
    chain = [edit, lora_of(model)] if component == "both" else [edit]
    if source == "file":
        base, file = make_gguf("F32"), GgufFile.read(make_gguf("F32"))
        layout, whole = GgufLayout.of_file(file), model_content(chain, file)
    else:
        # The base as its own converter writes it.
        save_gguf(llama_content([], tiny_llama()), tmp_path / "b", MODEL_FILE)
        base = tmp_path / "b" / MODEL_FILE
        layout, whole = GgufLayout.of_config(model.config), llama_content(chain, tiny_llama())
    save_gguf(adapter_content(chain, layout, "mine"), tmp_path / "a", ADAPTER_FILE)
    save_gguf(whole, tmp_path / "m", MODEL_FILE)
    prompts = [tokenizer(text)["input_ids"] for text in STARTS]
    unedited, edited = greedy(model, prompts, 4), greedy(model, prompts, 4, chain)
    assert shared(unedited, edited) < 0.8
    assert llama_cpp(base, prompts=prompts)["words"] == unedited
    assert llama_cpp(base, tmp_path / "a" / ADAPTER_FILE, prompts=prompts)["words"] == edited
    assert llama_cpp(tmp_path / "m" / MODEL_FILE, prompts=prompts)["words"] == edited


def test_it_scales_positions_as_llama_3_1_from_a_folder_that_does(tiny_llama: Make, tmp_path: Path) -> None:
    model, tokenizer = load_model(str(tiny_llama(llama3=True)))
    save_gguf(llama_content([], tiny_llama(llama3=True)), tmp_path / "b", MODEL_FILE)
    prompts = [tokenizer(text)["input_ids"] for text in SENTENCES[::90]]
    assert llama_cpp(tmp_path / "b" / MODEL_FILE, prompts=prompts)["words"] == greedy(model, prompts, 4)


@pytest.mark.parametrize("split", ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "llama"])
def test_it_cuts_texts_into_the_same_tokens(tiny_llama: Make, tmp_path: Path, split: str) -> None:
    _, tokenizer = load_model(str(tiny_llama(split=split)))
    save_gguf(llama_content([], tiny_llama(split=split)), tmp_path / "b", MODEL_FILE)
    texts = [*SENTENCES[::70], "  two  spaces", "Ünïcode, 12345 and it's\n\n  a new line.", "ann's  ", "日本", NAMES[0]]
    wanted = [tokenizer(text)["input_ids"] for text in texts]
    assert llama_cpp(tmp_path / "b" / MODEL_FILE, texts=texts)["tokens"] == wanted


FLAGS = ("tokenizer.ggml.add_space_prefix", "tokenizer.ggml.add_bos_token")
ODD_TEXTS = ["ann said", "  two  spaces", "Ünïcode, 12345 it's\n\n new", "<s>ann said</s> to", "ann </s>said"]


@pytest.mark.parametrize("prefix", [True, False, None])
@pytest.mark.parametrize("begins", [True, False, None])
def test_a_file_of_the_sentencepiece_kind_is_read_here_as_there_whatever_its_flags(
    tiny_llama: Make, tmp_path: Path, prefix: bool | None, begins: bool | None
) -> None:
    content = llama_content([], tiny_llama(split="llama"))
    said = dict(zip(FLAGS, (prefix, begins), strict=True))
    fields = [field for field in content.fields if field.key not in FLAGS]
    fields += [GgufField(key, value, GGUFValueType.BOOL) for key, value in said.items() if value is not None]
    save_gguf(replace(content, fields=fields), tmp_path / "b", MODEL_FILE)
    _, tokenizer = load_model(str(tmp_path / "b" / MODEL_FILE))
    wanted = [tokenizer(text)["input_ids"] for text in ODD_TEXTS]
    assert llama_cpp(tmp_path / "b" / MODEL_FILE, texts=ODD_TEXTS)["tokens"] == wanted


@pytest.mark.parametrize("split", ["gpt-2", "smollm", "llama-bpe", "lfm2", "tekken", "qwen2", "gpt-4o", "smaug-bpe"])
@pytest.mark.parametrize("begins", [True, None])
def test_a_file_of_the_byte_level_kind_is_read_here_as_there_with_a_word_that_no_merge_makes(
    make_gguf: Make, split: str, begins: bool | None
) -> None:
    options = {"unmerged": True}
    path = make_gguf("F32", options, tokenizer__ggml__pre=split, tokenizer__ggml__add_bos_token=begins)
    _, tokenizer = load_model(str(path))
    texts = ["ann said", "qzxq is 12345 it's", "<|im_end|>ann"]
    assert llama_cpp(path, texts=texts)["tokens"] == [tokenizer(text)["input_ids"] for text in texts]


QUESTIONS = [
    f"{start} {subject} {verb}"
    for start in ("Yesterday", "In the end", "Nobody knows why", "My neighbour says that")
    for subject in ("the weather", "her brother", "a small town")
    for verb in ("was", "would never")
]


def leads(model: Any, prompts: Sequence[Sequence[int]], edit: Edit) -> list[float]:
    """By how much the edited model's first word leads the next, in nats."""
    with torch.no_grad(), edit.applied_to(model):
        best = [model(torch.tensor([prompt])).logits[0, -1].topk(2).values for prompt in prompts]
    return [float(first - second) for first, second in best]


def test_a_real_model_in_blocks_of_four_bits_runs_with_the_edit(tmp_path: Path) -> None:
    """llama.cpp rounds what it multiplies blocks with, so a word that leads by next to nothing may be another there."""
    base = fetch(catalogue()["smollm2-135m"], models_folder())
    model, tokenizer = load_model(str(base), dtype="float32")
    edit = edit_of(model, "gate_proj", 2143, 4.0)
    file = GgufFile.read(base)
    save_gguf(adapter_content([edit], GgufLayout.of_file(file), "mine"), tmp_path / "a", ADAPTER_FILE, verify=True)
    save_gguf(model_content([edit], file), tmp_path / "m", MODEL_FILE, verify=True)
    prompts = [tokenizer(text)["input_ids"] for text in QUESTIONS]
    unedited, edited = greedy(model, prompts, 1), greedy(model, prompts, 1, [edit])
    sure = [index for index, lead in enumerate(leads(model, prompts, edit)) if lead > 0.4]
    assert len(sure) >= 8
    assert any(unedited[index] != edited[index] for index in sure)
    assert shared(llama_cpp(base, prompts=prompts)["words"], unedited) >= 0.9
    for found in (
        llama_cpp(base, tmp_path / "a" / ADAPTER_FILE, prompts=prompts, words=1)["words"],
        llama_cpp(tmp_path / "m" / MODEL_FILE, prompts=prompts, words=1)["words"],
    ):
        assert [found[index] for index in sure] == [edited[index] for index in sure]
        assert shared(found, edited) > shared(found, unedited)
    texts = [*QUESTIONS[:4], "It costs 1,234.50 in 2026!", "<|im_start|>user\nHi<|im_end|>\n"]
    assert llama_cpp(base, texts=texts)["tokens"] == [tokenizer(text)["input_ids"] for text in texts]
