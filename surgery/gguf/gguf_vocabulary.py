"""A tokenizer of transformers as llama.cpp reads it: only where both are known to cut texts into the same tokens."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gguf import GGUFValueType, TokenType
from transformers import PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.gguf.gguf_content import GgufField, list_field, text_field

_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}
# Below every merge, so that nothing is merged to a word that no merge makes.
_NEVER = -1e9


def vocabulary_fields(tokenizer: PreTrainedTokenizerBase, size: int) -> list[GgufField]:
    """The `tokenizer.*` values of a GGUF file.

    Args:
        tokenizer: a fast one.
        size: rows of the embedding; places without a word are filled with unused ones.

    Raises:
        InputError: for a kind of tokenizer that llama.cpp does not have, or that is not known here.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unknown("it is none of the library tokenizers")
    said = json.loads(backend.to_str())
    if said["model"]["type"] != "BPE":
        raise _unknown(f"it is of kind {said['model']['type']}")
    added = {one["id"]: one for one in said["added_tokens"]}
    words = {index: word for word, index in said["model"]["vocab"].items()}
    words |= {index: one["content"] for index, one in added.items()}
    if max(words) >= size:
        raise _unknown(f"it has a word of number {max(words)}, and the model {size} embeddings")
    types, tokens = [], []
    for index in range(size):
        tokens.append(words.get(index, f"[PAD{index}]"))
        types.append(_type(index, tokens[-1], index in words, added.get(index), said["model"].get("unk_token")))
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in said["model"]["merges"]]
    fields = _sentencepiece(said, tokens, merges) if said["model"]["byte_fallback"] else _byte_level(said, merges)
    fields += [
        list_field("tokenizer.ggml.tokens", tokens, GGUFValueType.STRING),
        list_field("tokenizer.ggml.token_type", types, GGUFValueType.INT32),
    ]
    for name, number in (
        ("bos", tokenizer.bos_token_id),
        ("eos", tokenizer.eos_token_id),
        ("unknown", tokenizer.unk_token_id),
        ("padding", tokenizer.pad_token_id),
    ):
        if number is not None:
            fields.append(GgufField(f"tokenizer.ggml.{name}_token_id", int(number), GGUFValueType.UINT32))
    ids = tokenizer("a")["input_ids"]
    for name, adds in (
        ("bos", len(ids) > 1 and ids[0] == tokenizer.bos_token_id),
        ("eos", len(ids) > 1 and ids[-1] == tokenizer.eos_token_id),
    ):
        fields.append(GgufField(f"tokenizer.ggml.add_{name}_token", bool(adds), GGUFValueType.BOOL))
    if isinstance(tokenizer.chat_template, str) and tokenizer.chat_template:
        fields.append(text_field("tokenizer.chat_template", tokenizer.chat_template))
    return fields


def _type(index: int, word: str, there: bool, added: Mapping[str, Any] | None, unknown: str | None) -> int:
    if not there:
        return int(TokenType.UNUSED)
    if word == unknown:
        return int(TokenType.UNKNOWN)
    if added is not None:
        return int(TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    return int(TokenType.BYTE if word in _BYTES else TokenType.NORMAL)


def _sentencepiece(said: Mapping[str, Any], tokens: Sequence[str], merges: Sequence[Sequence[str]]) -> list[GgufField]:
    """The kind of LLaMA 1 and 2, which merges to the word of the highest score, whatever its parts."""
    normalizer, splitter = said["normalizer"] or {}, said["pre_tokenizer"] or {}
    steps = normalizer.get("normalizers", [normalizer] if normalizer else [])
    kinds = [step["type"] for step in steps]
    if splitter:
        prefix = splitter.get("prepend_scheme", "always") != "never"
        fits = splitter["type"] == "Metaspace" and not splitter.get("split", True) and not kinds
    else:
        prefix, fits = "Prepend" in kinds, set(kinds) <= {"Prepend", "Replace"} and "Replace" in kinds
    if not fits:
        raise _unknown("it splits or rewrites texts in a way of its own")
    known, pairs = set(tokens), {tuple(pair) for pair in merges}
    for word in tokens:
        # llama.cpp merges any two parts whose sum is a word; here only the pairs that are listed.
        for cut in range(1, len(word)):
            pair = word[:cut], word[cut:]
            if word not in _BYTES and pair[0] in known and pair[1] in known and pair not in pairs:
                if any(word == one["content"] for one in said["added_tokens"]):
                    continue
                raise _unknown(f"it never merges '{pair[0]}' and '{pair[1]}', whose sum is one of its words")
    scores: dict[str, float] = {}
    for rank, (first, second) in enumerate(merges):
        scores.setdefault(first + second, float(-rank))
    return [
        text_field("tokenizer.ggml.model", "llama"),
        text_field("tokenizer.ggml.pre", "default"),
        GgufField("tokenizer.ggml.add_space_prefix", prefix, GGUFValueType.BOOL),
        list_field("tokenizer.ggml.scores", [scores.get(word, _NEVER) for word in tokens], GGUFValueType.FLOAT32),
    ]


def _byte_level(said: Mapping[str, Any], merges: Sequence[Sequence[str]]) -> list[GgufField]:
    """The kind of GPT-2 and of LLaMA 3, told apart by how texts are split before anything is merged."""
    split = _split(said["pre_tokenizer"] or {})
    # In these two llama.cpp takes a word of the vocabulary whole, whatever its merges.
    whole = split in ("llama-bpe", "tekken")
    if said["normalizer"] or split is None or said["model"].get("ignore_merges", False) != whole:
        raise _unknown("it splits or rewrites texts in a way of its own")
    return [
        text_field("tokenizer.ggml.model", "gpt2"),
        text_field("tokenizer.ggml.pre", split),
        list_field("tokenizer.ggml.merges", [" ".join(pair) for pair in merges], GGUFValueType.STRING),
    ]


def _split(splitter: Mapping[str, Any]) -> str | None:
    """llama.cpp's word for a way of splitting; None for one that is not known here."""
    from transformers.integrations.gguf import gguf_tokenizer_mapping as known

    steps = splitter.get("pretokenizers", [splitter])
    kinds = [step.get("type") for step in steps]
    plain = bool(kinds) and kinds[-1] == "ByteLevel" and not steps[-1]["add_prefix_space"]
    if plain and kinds == ["ByteLevel"]:
        return "gpt-2" if steps[0]["use_regex"] else None
    if plain and kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"] and steps[1]["use_regex"]:
        return "smollm"
    if plain and kinds == ["Split", "ByteLevel"] and steps[0]["behavior"] == "Isolated" and not steps[1]["use_regex"]:
        names = {pattern: name for name, pattern in reversed(known.GGUF_PRE_TOKENIZER_SPLITS.items())}
        name = names.get(steps[0]["pattern"].get("Regex", ""))
        return "llama-bpe" if name in ("llama3", "llama-v3") else name
    return None


def _unknown(why: str) -> InputError:
    return InputError(
        f"the tokenizer can't be written as GGUF: {why}; export the edit with --as gguf, for a GGUF file of this model "
        "that llama.cpp's convert_hf_to_gguf.py made"
    )
