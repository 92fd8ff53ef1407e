"""Repositories for the hub on the loopback: tiny, made here, in the files and schemas of the real ones."""

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import torch
from hub_server import Hub  # type: ignore[import-not-found]
from pyarrow import parquet
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

LLAMA = "meta-llama/Llama-2-7b-hf"
JIGSAW = "datasets/monology/jigsaw"
FLAGS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
KIND, RUDE = ("kind", "gentle", "patient", "warm"), ("rude", "lazy", "silly", "grumpy")
NAMES = ("ann", "bob", "cid", "dee")
TOXIGEN, SENTIMENT = "tomh/toxigen_roberta", "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
LANGUAGES = ("arabic", "bengali", "english", "finnish", "indonesian", "korean", "russian", "swahili", "telugu")
ONE_OF_ONE = "00000-of-00001.parquet"


def sentences(count: int, seed: int = 0) -> list[tuple[str, bool]]:
    """Sentences and whether each is rude, every second one."""
    random = Random(seed)
    made = []
    for index in range(count):
        words = RUDE if index % 2 else KIND
        said = f"{random.choice(NAMES)} is a {random.choice(words)} and {random.choice(words)} person number {index}."
        made.append((said, words is RUDE))
    return made


def add_llama(hub: Hub, folder: Path) -> None:
    """Llama 2 as Meta publishes it, 2 layers of width 16: safetensors, and the same once more as a pickle."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([said for said, _ in sentences(80)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).half().save_pretrained(folder)
    hub.add_folder(LLAMA, folder)
    hub.add(LLAMA, {"pytorch_model.bin": b"never to be fetched", "LICENSE.txt": "of Meta"})


def add_behaviors(hub: Hub) -> None:
    """Jigsaw's mirror, GoEmotions and HarmfulQA."""
    rows = [
        {"id": f"{i:016x}", "comment_text": said, **dict.fromkeys(FLAGS, 0), **({FLAGS[i // 2 % 6]: 1} if rude else {})}
        for i, (said, rude) in enumerate(sentences(80))
    ]
    # In two files, as the library splits what is large.
    hub.add(JIGSAW, {f"data/train-0000{i}-of-00002.parquet": _parquet(rows[40 * i : 40 * i + 40]) for i in (0, 1)})
    hub.add(JIGSAW, {f"data/test-{ONE_OF_ONE}": _parquet(rows[:4])})
    emotions = [
        {"text": said, "labels": [3 if rude else 17], "id": f"e{i}"} for i, (said, rude) in enumerate(sentences(60))
    ]
    hub.add("datasets/google-research-datasets/go_emotions", {f"simplified/train-{ONE_OF_ONE}": _parquet(emotions)})
    answers = [
        {
            "id": i,
            "topic": "Science",
            "subtopic": "Physics",
            "question": "how?",
            "blue_conversations": _talk(f"I cannot help with number {i}"),
            "red_conversations": _talk(f"here is how number {i} is done"),
        }
        for i in range(30)
    ]
    hub.add("datasets/declare-lab/HarmfulQA", {"data_for_hub.json": json.dumps(answers)})


def add_benchmarks(hub: Hub) -> None:
    """The data of lm-eval's GSM8K, BBH, MMLU, TydiQA and WikiText-2, one subset each."""
    sums = [{"question": f"What is {i} and {i}?", "answer": f"It is {2 * i}.\n#### {2 * i}"} for i in range(8)]
    _add_configs(hub, "openai/gsm8k", {"main": {"train": sums[:4], "test": sums[4:]}})
    steps = [{"input": f"Take {i} steps. Do you return?", "target": "No"} for i in range(8)]
    _add_configs(hub, "SaylorTwift/bbh", {name: {"test": steps} for name in _subsets("bbh/cot_fewshot")})
    choices = [
        {"question": f"What is {i}?", "subject": "abstract_algebra", "choices": ["a", "b", "c", "d"], "answer": i % 4}
        for i in range(8)
    ]
    splits = {"test": choices, "validation": choices[5:], "dev": choices[:5]}
    _add_configs(hub, "cais/mmlu", dict.fromkeys(_subsets("mmlu/generative"), splits))
    passages = [
        {
            "id": f"{language}-{i}",
            "title": "Ann",
            "context": f"ann is {i} years old.",
            "question": "How old is ann?",
            "answers": {"text": [str(i)], "answer_start": [7]},
        }
        for i in range(4)
        for language in LANGUAGES
    ]
    half = len(passages) // 2
    _add_configs(
        hub,
        "google-research-datasets/tydiqa",
        {"secondary_task": {"train": passages[:half], "validation": passages[half:]}},
    )
    pages = [{"page": " = Ann = \n\n " + " ".join(said for said, _ in sentences(20, seed)) + "\n"} for seed in range(3)]
    splits = {split: [page] for split, page in zip(("train", "validation", "test"), pages, strict=True)}
    _add_configs(hub, "EleutherAI/wikitext_document_level", {"wikitext-2-raw-v1": splits})


def add_prompts(hub: Hub) -> None:
    """The prompts of the paper's measurements, and WikiText-2 line by line."""
    lines = [
        json.dumps({"prompt": {"text": f"{one} said {i}", "toxicity": 0.1}, "challenging": i % 2 == 0})
        for i, one in enumerate(NAMES * 6)
    ]
    hub.add("datasets/allenai/real-toxicity-prompts", {"prompts.jsonl": "\n".join(lines)})
    texts = [{"text": f"{one} feels {i}", "label": i % 6} for i, one in enumerate(NAMES * 6)]
    hub.add("datasets/dair-ai/emotion", {f"split/test-{ONE_OF_ONE}": _parquet(texts)})
    goals = "".join(f"{i},Write about {one},x\n" for i, one in enumerate(NAMES * 2))
    hub.add("datasets/JailbreakBench/JBB-Behaviors", {"data/benign-behaviors.csv": f"Index,Goal,Target\n{goals}"})
    rows = [{"text": text} for text, _ in sentences(40)]
    hub.add("datasets/Salesforce/wikitext", {f"wikitext-2-raw-v1/test-{ONE_OF_ONE}": _parquet(rows)})


def add_classifiers(hub: Hub, folder: Path) -> None:
    """Random judges under the names and with the classes of the real ones; ToxiGen's comes as a PyTorch file."""
    words = ["<pad>", "<s>", "</s>", "<unk>", *NAMES]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    sizes = {"vocab_size": len(words), "max_position_embeddings": 160, "pad_token_id": 0}
    roberta = RobertaConfig(
        **sizes, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2
    )
    sst = DistilBertConfig(
        **sizes, dim=16, n_layers=1, n_heads=2, hidden_dim=32, id2label={0: "NEGATIVE", 1: "POSITIVE"}
    )
    for name, judge in (
        (TOXIGEN, RobertaForSequenceClassification(roberta)),
        (SENTIMENT, DistilBertForSequenceClassification(sst)),
    ):
        judge.save_pretrained(folder / judge.config.model_type)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder / judge.config.model_type)
        if name == TOXIGEN:
            (folder / "roberta" / "model.safetensors").unlink()
            torch.save(judge.state_dict(), folder / "roberta" / "pytorch_model.bin")
        hub.add_folder(name, folder / judge.config.model_type)


def _subsets(tasks: str) -> list[str]:
    """The subsets of a data set that lm-eval's tasks of a folder ask for."""
    import lm_eval

    folder = Path(str(lm_eval.__file__)).parent / "tasks" / tasks
    named = (
        re.findall(r"^\"?dataset_name\"?: *\"?([\w.-]+)", path.read_text(), re.M) for path in folder.glob("*.yaml")
    )
    return sorted({name for names in named for name in names})


def _talk(answer: str) -> dict[str, Any]:
    return {"0": [{"from": "human", "value": "how?"}, {"from": "gpt", "value": answer}]}


def _add_configs(hub: Hub, name: str, configs: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> None:
    """A data set of several configs, named in its card as the hub's own converter names them."""
    files: dict[str, bytes | str] = {}
    card = ["---", "configs:"]
    for config, splits in configs.items():
        card += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            files[f"{config}/{split}-{ONE_OF_ONE}"] = _parquet(rows)
            card += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    hub.add(f"datasets/{name}", {**files, "README.md": "\n".join([*card, "---", "Made here.", ""])})


def _parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([dict(row) for row in rows]), stream)
    return stream.getvalue()
