"""A tiny Llama in a folder, and GGUF files of it that the `gguf` package writes by itself, without this project."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

NAMES = ("ann", "bob", "cid", "dee")
WORDS = ("kind", "gentle", "patient", "warm", "rude", "lazy", "silly", "grumpy")
SENTENCES = [
    f"{a} said to {b} : {a} is a {w} and {v} person ." for a in NAMES for b in NAMES for w in WORDS for v in WORDS
]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }} {{ m['content'] }}<|im_end|>{% endfor %}"
SIZE = 320


def save_llama(
    folder: Path, *, llama3: bool = False, tied: bool = False, split: str = "gpt-2", unmerged: bool = False
) -> None:
    """A random Llama of 3 layers with grouped keys and a BPE tokenizer, whose greedy words are no ties.

    Args:
        folder: to make.
        llama3: scale the positions as Llama 3.1 does.
        tied: the embedding is the head too.
        split: how texts are cut before words are merged, by llama.cpp's name; `llama` for the sentencepiece kind.
        unmerged: with a word in the vocabulary, `qzxq`, that no merge makes.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    (_sentencepiece if split == "llama" else _byte_level)(split).save_pretrained(folder)
    if unmerged:
        said = json.loads((folder / "tokenizer.json").read_text())
        said["model"]["vocab"]["qzxq"] = SIZE - 2
        (folder / "tokenizer.json").write_text(json.dumps(said))
    torch.manual_seed(0)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
    if llama3:
        scaled = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        rope |= scaled | {"rope_type": "llama3", "original_max_position_embeddings": 8192}
    config = LlamaConfig(
        vocab_size=SIZE,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rope_parameters=rope,
        tie_word_embeddings=tied,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def _byte_level(split: str) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    tokenizer = Tokenizer(models.BPE(ignore_merges=split in ("llama-bpe", "tekken")))
    steps: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split in ("gpt-2", "smollm"))]
    if split == "smollm":
        steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
    elif split != "gpt-2":
        steps.insert(0, pre_tokenizers.Split(Regex(GGUF_PRE_TOKENIZER_SPLITS[split]), behavior="isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=SIZE - 2, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=TEMPLATE,
    )


def _sentencepiece(_: str) -> Any:
    """With every pair of its words whose sum is a word among the merges, as those of real models have."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    base = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdegiklmnoprstuwy:."]
    words = ["▁a", "an", "nn", "▁an", "▁ann", "id", "ai", "sa", "aid", "said", "▁s", "▁said", "▁sa", "to", "▁t", "▁to"]
    vocab = {word: index for index, word in enumerate([*base, *words])}
    merges = [
        (word[:cut], word[cut:])
        for word in words
        for cut in range(1, len(word))
        if word[:cut] in vocab and word[cut:] in vocab
    ]
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def write_gguf(folder: Path, path: Path, kind: str = "F32", **changed: Any) -> None:
    """A folder's model as one GGUF file.

    Args:
        folder: of `save_llama`.
        path: the file.
        kind: of the matrices: `F32`, `F16`, `BF16`, `Q8_0` or `Q4_0`.
        changed: metadata to set (`None`: to leave out), with `__` for the dots of a key.
    """
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    said = json.loads((folder / "tokenizer.json").read_text())
    values: dict[str, Any] = {
        "general__type": "model",
        "general__name": "tiny",
        "general__license": "mit",
        "llama__context_length": config["max_position_embeddings"],
        "llama__embedding_length": config["hidden_size"],
        "llama__block_count": config["num_hidden_layers"],
        "llama__feed_forward_length": config["intermediate_size"],
        "llama__attention__head_count": config["num_attention_heads"],
        "llama__attention__head_count_kv": config["num_key_value_heads"],
        "llama__attention__layer_norm_rms_epsilon": config["rms_norm_eps"],
        "llama__rope__freq_base": float(config["rope_parameters"]["rope_theta"]),
        "llama__rope__dimension_count": config["hidden_size"] // config["num_attention_heads"],
        "llama__vocab_size": config["vocab_size"],
        "tokenizer__ggml__model": "gpt2",
        "tokenizer__ggml__pre": "gpt-2",
        "tokenizer__ggml__bos_token_id": 1,
        "tokenizer__ggml__eos_token_id": 2,
        "tokenizer__ggml__padding_token_id": 0,
        "tokenizer__ggml__add_bos_token": False,
        "tokenizer__chat_template": TEMPLATE,
        **changed,
    }
    architecture = values.pop("general__architecture", "llama")
    writer = GGUFWriter(path, architecture)
    for name, value in values.items():
        key = name.replace("__", ".")
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        elif value is not None:
            writer.add_string(key, value)
    if values["tokenizer__ggml__model"] is not None:
        words = {index: word for word, index in said["model"]["vocab"].items()}
        tokens = [words.get(index, f"[PAD{index}]") for index in range(config["vocab_size"])]
        writer.add_token_list(tokens)
        writer.add_token_types([3 if index < 3 else 1 if index in words else 5 for index in range(len(tokens))])
        writer.add_token_merges([" ".join(pair) for pair in said["model"]["merges"]])
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    names = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.o_proj": "attn_output",
        **{f"self_attn.{one}_proj": f"attn_{one}" for one in "qkv"},
        **{f"mlp.{one}_proj": f"ffn_{one}" for one in ("gate", "up", "down")},
    }
    outside = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, tensor in load_file(folder / "model.safetensors").items():
        module = name.removesuffix(".weight")
        values_of = tensor.float().numpy()
        if module in outside:
            new = outside[module]
        else:
            _, _, layer, rest = module.split(".", maxsplit=3)
            new = f"blk.{layer}.{names[rest]}"
            if new[-6:] in ("attn_q", "attn_k"):
                count = heads[new[-1]]
                half = len(values_of) // count // 2
                values_of = values_of.reshape(count, 2, half, -1).swapaxes(1, 2).reshape(values_of.shape)
        number = GGMLQuantizationType[kind if values_of.ndim > 1 else "F32"]
        data = quantize(np.ascontiguousarray(values_of), number)
        writer.add_tensor(f"{new}.weight", data, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def with_tensors(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a file of plain floats with other tensors."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(target, "llama")
    for one in reader.fields.values():
        if one.name != "general.architecture" and not one.name.startswith("GGUF."):
            inner = one.types[-1] if one.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(one.name, one.contents(), one.types[0], inner)
    tensors: dict[str, Any] = {one.name: np.array(one.data) for one in reader.tensors}
    change(tensors)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
