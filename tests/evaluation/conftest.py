"""Tiny real models, made in seconds: a LLaMA with a word-level tokenizer, and a BERT in Detoxify's format."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = [f"w{i}" for i in range(60)]
CLASSES = ["toxic", "insult"]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """For models this small more threads only wait for each other."""
    torch.set_num_threads(1)


def make_tokenizer(pad: bool = True) -> PreTrainedTokenizerFast:
    """A word a token; a BOS before each text, as LLaMA's."""
    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(specials + WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **names, **({"pad_token": "<pad>"} if pad else {}))


def make_model(seed: int = 0, positions: int = 64) -> LlamaForCausalLM:
    """Random, but decided: its weights are large, so that likelihoods differ and greedy choices are never close."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=4 + len(WORDS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=positions,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def with_little_memory(model: LlamaForCausalLM, most: int) -> tuple[LlamaForCausalLM, list[int]]:
    """The same model, refusing batches of more tokens as a full GPU does; and the tokens of each it is asked for."""
    asked: list[int] = []

    class LittleMemory(LlamaForCausalLM):
        def forward(self, input_ids: Any = None, **others: Any) -> Any:
            asked.append(input_ids.numel())
            if input_ids.numel() > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(input_ids, **others)

    small = LittleMemory(model.config).eval()
    small.load_state_dict(model.state_dict())
    return small, asked


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def model() -> LlamaForCausalLM:
    return make_model()


@dataclass(frozen=True)
class DetoxifyFiles:
    checkpoint: Path
    config: Path
    contents: dict[str, Any]


@pytest.fixture(scope="session")
def detoxify_files(tmp_path_factory: pytest.TempPathFactory) -> DetoxifyFiles:
    """A random BERT with two classes; its `model_type` is a hub name, as in every published checkpoint."""
    folder = tmp_path_factory.mktemp("detoxify")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=40,
        num_labels=len(CLASSES),
        initializer_range=0.8,
    )
    torch.manual_seed(1)
    judge = BertForSequenceClassification(config)
    config.save_pretrained(folder / "config")
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder / "config")
    contents = {
        "config": {
            "arch": {
                "args": {
                    "model_type": "bert-base-uncased",
                    "model_name": "BertForSequenceClassification",
                    "tokenizer_name": "BertTokenizerFast",
                    "num_classes": len(CLASSES),
                }
            },
            "dataset": {"args": {"classes": CLASSES}},
        },
        "state_dict": judge.state_dict(),
    }
    torch.save(contents, folder / "checkpoint.ckpt")
    return DetoxifyFiles(folder / "checkpoint.ckpt", folder / "config", contents)


QUESTIONS = [
    {"question": f"w{i} w{i + 1}", "choices": [f"w{(3 * i + j) % 40}" for j in range(3)], "gold": i % 3}
    for i in range(12)
]
CHOICE_TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
  - metric: acc_norm
    aggregation: mean
    higher_is_better: true
"""
SAYING_TASK = """
task: saying
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs:
  until: ["w7"]
  max_gen_toks: 5
  do_sample: false
filter_list:
  - name: trimmed
    filter:
      - function: regex
        regex_pattern: "^\\\\s*(.*?)\\\\s*$"
      - function: take_first
  - name: as it is
    filter:
      - function: take_first
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    """Two multiple-choice tasks (one with half of the questions) and one generative, with local data."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name, questions in (("choosing", QUESTIONS), ("choosing_less", QUESTIONS[:6])):
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(question) + "\n" for question in questions))
        (folder / f"{name}.yaml").write_text(CHOICE_TASK.format(name=name, data=data))
    (folder / "saying.yaml").write_text(SAYING_TASK.format(data=folder / "choosing.jsonl"))
    return folder
