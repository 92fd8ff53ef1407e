"""What a model is apart from its weights: the config its code reads, how it reads text, how it ends a text."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from surgery.files.whole_files import sha256_of_parts

# Told by the files themselves and by nothing that is computed: names, versions, how it was saved and is loaded.
# What the dtype and a quantisation make of the weights is in the weights' digest.
NO_PART_OF_IT = {
    *("architectures", "transformers_version", "dtype", "torch_dtype", "quantization_config", "use_cache"),
    *("output_attentions", "output_hidden_states", "return_dict", "problem_type", "id2label", "label2id"),
    *("name_or_path", "tokenizer_file", "local_files_only", "is_local", "attn_implementation"),
}
TOKENIZER_FILES = (
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "*.model", "vocab*", "merges.txt"),
    *("*.tiktoken", "tekken.json", "*.vocab", "spiece.*"),
)
TEMPLATE_FILES = ("chat_template.*", "additional_chat_templates/*")
GENERATION = "generation_config.json"


@dataclass(frozen=True)
class ModelIdentity:
    """The parts of what a model is, 16 hexadecimal digits each, so that one can say which of them changed.

    Attributes:
        weights: every value of every tensor.
        config: what the model's code reads of config.json, and its class.
        tokenizer, chat_template, generation: of the files of these names; generation also says what ends a text.
        code: of the Python that comes with the model and runs under `trust_remote_code`; empty where none does.
    """

    weights: str
    config: str
    tokenizer: str
    chat_template: str
    generation: str
    code: str = ""

    @property
    def fingerprint(self) -> str:
        """What an edit, an adapter or a checkpoint is held against: weights, config, and code where there is some."""
        return model_fingerprint(self.weights, self.config, self.code)

    def parts(self) -> dict[str, str]:
        """By name, for a record."""
        return asdict(self)

    def reading(self) -> list[str]:
        """What decides how texts are read and continued, beside the model itself."""
        return [self.tokenizer, self.chat_template, self.generation]


def model_fingerprint(weights: str, config: str, code: str = "") -> str:
    """16 hexadecimal digits, from the digests of the weights and of the config."""
    return sha256_of_parts([weights, config, *([code] if code else [])])


def chain_fingerprint(base: str, edits: Sequence[str]) -> str:
    """The fingerprint of a base with edits applied, oldest first, from theirs."""
    return sha256_of_parts([base, *edits]) if edits else base


class MadeFor(Protocol):
    """What was made for a model and changes it: an edit, say."""

    @property
    def base_fingerprint(self) -> str:
        """Of the model it was made for."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what it does."""
        ...


def misplaced(base: str, edits: Sequence[MadeFor]) -> tuple[int, str] | None:
    """The first edit that was made neither for the base nor for it with the edits before.

    Args:
        base: the fingerprint of the model that they are applied to, oldest first.

    Returns:
        Its place, and the fingerprint of the model that it would be applied to; None where all fit.
    """
    for place, edit in enumerate(edits):
        stacked = chain_fingerprint(base, [before.fingerprint for before in edits[:place]])
        if edit.base_fingerprint not in (base, stacked):
            return place, stacked
    return None


def config_digest(class_name: str, config: Mapping[str, Any]) -> str:
    """Of a config with the defaults filled in (`PretrainedConfig.to_dict`), and of the model's class."""
    return sha256_of_parts([class_name, _canonical(_relevant(config))])


def tokenizer_digest(folder: Path) -> str:
    """Of the files of a tokenizer, without the chat template."""
    return sha256_of_parts(_told(folder, TOKENIZER_FILES, leave_out="chat_template"))


def template_digest(folder: Path) -> str:
    """Of the chat templates, wherever they lie: in files of their own, or in the tokenizer's config."""
    config = _json(folder / "tokenizer_config.json")
    inside = config.get("chat_template") if isinstance(config, Mapping) else None
    return sha256_of_parts([*_told(folder, TEMPLATE_FILES), _canonical(inside)])


def generation_digest(folder: Path) -> str:
    """Of the model's own generation settings."""
    return sha256_of_parts(_told(folder, (GENERATION,)))


def code_digest(folder: Path) -> str:
    """Of the Python in a model's folder; empty where there is none."""
    files = sorted(folder.glob("*.py"))
    return sha256_of_parts(part for file in files for part in (file.name, file.read_bytes())) if files else ""


def _told(folder: Path, patterns: Iterable[str], leave_out: str = "") -> list[str]:
    """Name and content of each file; of JSON what it says, so that another layout of the same is the same."""
    parts: list[str] = []
    for file in sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}):
        said = _json(file)
        if isinstance(said, Mapping):
            content = _canonical(_relevant({name: value for name, value in said.items() if name != leave_out}))
        else:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
        parts += [file.relative_to(folder).as_posix(), content]
    return parts


def _json(file: Path) -> Any:
    """What a JSON file says; None for any other file."""
    try:
        return json.loads(file.read_bytes()) if file.suffix == ".json" else None
    except (OSError, ValueError):
        return None


def _relevant(value: Any) -> Any:
    """Without what is no part of it, and what transformers keeps for itself, at any depth."""
    if isinstance(value, Mapping):
        kept = {str(name): entry for name, entry in value.items() if name not in NO_PART_OF_IT}
        return {name: _relevant(entry) for name, entry in kept.items() if not name.startswith("_")}
    return [_relevant(entry) for entry in value] if isinstance(value, list | tuple) else value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
