"""What the cells of a command share, each read once: texts, evaluators, and what a model's folder tells."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from safetensors import SafetensorError, safe_open

from surgery.errors import InputError
from surgery.files.local_paths import names_a_file, names_a_folder, require_folder
from surgery.files.whole_files import verify_checksums
from surgery.model.gguf_place import gguf_of, told
from surgery.model.model_identity import ModelIdentity
from surgery.texts.texts import LabelledTexts, read_texts
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.cell import ModelSettings, Settings
from sweeps.config.read_settings import KeyIsWrong, unknown_key
from sweeps.store.kept_digests import KeptDigests

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from evaluation.evaluator import Evaluator
    from surgery.edits.intervention import Intervention
    from surgery.model.gguf_file import GgufFile


@dataclass(frozen=True)
class ModelFacts:
    """What a model's folder tells without its weights being loaded."""

    skeleton: "PreTrainedModel"
    identity: ModelIdentity

    @property
    def fingerprint(self) -> str:
        """What edits are held against."""
        return self.identity.fingerprint

    @cached_property
    def depth(self) -> int:
        """The number of layers."""
        from surgery.rows.locator import layer_count

        return layer_count(self.skeleton)

    def rows(self, component: str, layers: Sequence[int]) -> int:
        """How many candidate rows a component has in some layers."""
        return sum(count for layer, count in self._counts(component).items() if layer in layers)

    def layers(self, component: str) -> list[int]:
        """The layers that have rows of a component; all, but for queries and the like where some mix differently."""
        return list(self._counts(component))

    def _counts(self, component: str) -> dict[int, int]:
        if component not in self._located:
            from surgery.rows.locator import locate

            counts: dict[int, int] = {}
            for home in locate(self.skeleton, component):
                counts[home.layer] = counts.get(home.layer, 0) + home.total
            self._located[component] = counts
        return self._located[component]

    @cached_property
    def _located(self) -> dict[str, dict[int, int]]:
        return {}


@dataclass(frozen=True)
class Evaluators:
    """What is measured, by name, and the identity of each."""

    made: "Mapping[str, Evaluator]"
    identities: Mapping[str, Any]


@dataclass
class Materials:
    """Reads, checks and keeps. Every method raises InputError for what is wrong.

    Attributes:
        keep: where the digests of weights are kept.
    """

    keep: KeptDigests = field(default_factory=lambda: KeptDigests(None))
    _texts: dict[str, LabelledTexts] = field(default_factory=dict)
    _evaluators: dict[str, Evaluators] = field(default_factory=dict)
    _checked: set[str] = field(default_factory=set)
    _models: dict[str, ModelFacts] = field(default_factory=dict)
    _earlier: "dict[str, tuple[Intervention, ...]]" = field(default_factory=dict)
    _shapes: "dict[str, tuple[Path | GgufFile, PreTrainedModel]]" = field(default_factory=dict)
    _tokenizers: "dict[str, PreTrainedTokenizerBase]" = field(default_factory=dict)
    _shown: dict[str, list[str]] = field(default_factory=dict)

    def texts(self, settings: Settings) -> LabelledTexts:
        """The labelled texts of the behavior."""
        behavior = settings.behavior
        key = canonical_json([str(behavior), settings.seed])
        if key not in self._texts:
            if behavior.checksums:
                verify_checksums(behavior.checksums, [behavior.path])
            self._texts[key] = read_texts(
                behavior.path,
                behavior.text,
                behavior.label,
                avoid=behavior.avoid,
                against=behavior.against,
                labels=behavior.labels,
                separator=behavior.separator,
                columns=behavior.columns,
                balance=behavior.balance,
                limit=behavior.limit,
                seed=settings.seed,
                where_else=behavior.source or "",
            )
        return self._texts[key]

    def evaluators(self, values: Mapping[str, Any]) -> Evaluators:
        """The evaluators that the composed config names, checked."""
        evaluation = values["evaluation"]
        key = canonical_json(evaluation["measurements"])
        if key not in self._evaluators:
            try:
                found = instantiate(evaluation["measurements"], _convert_="all")
                # `evaluation.measurements.NAME=null` leaves one out.
                made = {name: evaluator for name, evaluator in found.items() if evaluator is not None}
            except HydraException as error:
                raise _not_made(error, evaluation["measurements"]) from error
            if evaluation["checksums"]:
                root = Path(evaluation["checksums"]).expanduser().parent
                verify_checksums(evaluation["checksums"], [path for path in _paths(evaluation) if root in path.parents])
            for evaluator in made.values():
                evaluator.check()
            identities = {name: evaluator.identity() for name, evaluator in made.items()}
            self._evaluators[key] = Evaluators(made, identities)
        return self._evaluators[key]

    def files(self, settings: Settings) -> None:
        """Checks what can be said of a model's and a probe's files without torch."""
        model, probe = settings.model, settings.probe
        key = canonical_json([model.path, model.gguf, model.checksums, probe.method, probe.path])
        if key in self._checked:
            return
        self._checked.add(key)
        if not names_a_file(model.path) and model.gguf is None:
            require_folder(model.path)
        elif names_a_file(model.path) or names_a_folder(model.path):
            gguf_of(model.path, model.gguf)
        if model.checksums and names_a_folder(model.path):
            verify_checksums(model.checksums, [Path(model.path).expanduser()])
        if probe.method == "file":
            _check_probe_file(Path(str(probe.path)).expanduser(), str(probe.path))

    def earlier(self, settings: Settings) -> "tuple[Intervention, ...]":
        """What the composition names, each with what was before it: of finished cells or from files."""
        from surgery.model.fingerprints import chain_fingerprint
        from sweeps.records.chain import read_named

        key = canonical_json(settings.composition)
        if key not in self._earlier:
            self._earlier[key] = tuple(read_named(settings.composition))
        chain, base = self._earlier[key], self.model(settings).fingerprint
        for position, one in enumerate(chain):
            stacked = chain_fingerprint(base, [before.fingerprint for before in chain[:position]])
            if one.base_fingerprint not in (base, stacked):
                raise InputError(
                    f"composition: number {position + 1} was made for model {one.base_fingerprint}, "
                    f"but here it is applied to {stacked}"
                )
        return chain

    def shapes(self, settings: Settings) -> "tuple[Path | GgufFile, PreTrainedModel]":
        """The model's folder or file, and its skeleton; fetched from the hub where it is not here."""
        from surgery.model.model_files import model_folder, require_fit, skeleton, sound_weights
        from surgery.model.quantisation import unpacking

        model = settings.model
        key = _key(settings)
        if key not in self._shapes and (file := gguf_of(model.path, model.gguf, model.revision)) is not None:
            from surgery.model.gguf_model import gguf_skeleton

            self._shapes[key] = file, gguf_skeleton(file, told(model.path, model.gguf))
        if key not in self._shapes:
            folder = model_folder(model.path, model.revision)
            shapes = skeleton(folder, model.trust_remote_code)
            unpacking(shapes.config, model.path)
            given = f"model.path '{model.path}'"
            require_fit(shapes, sound_weights(folder, given), given)
            self._shapes[key] = folder, shapes
        return self._shapes[key]

    def shown(self, settings: Settings, values: Mapping[str, Any]) -> list[str]:
        """Holds texts and prompts against the tokenizer, as they will be shown to the model.

        Returns:
            What a person should know of it, in sentences.

        Raises:
            InputError: for a tokenizer or chat template that can't be used, one that leaves no room for a text, and a
                token that the model has no embedding of.
        """
        from evaluation.evaluator import ShowsPrompts
        from surgery.rows.locator import locate
        from surgery.states.text_batches import reading_of_texts

        behavior, model = settings.behavior, settings.model
        key = canonical_json(
            [_key(settings), model.date, str(behavior), settings.seed, values["evaluation"]["measurements"]]
        )
        if key not in self._shown:
            source, shapes = self.shapes(settings)
            # A model that can't be edited at all is told first.
            locate(shapes, settings.region.component)
            tokenizer = self._tokenizer(source, settings)
            reading = reading_of_texts(shapes, behavior.max_length, behavior.chat, group="behavior.")
            reading.check(shapes, tokenizer, self.texts(settings).texts)
            made = self.evaluators(values).made.values()
            prompting = [evaluator for evaluator in made if isinstance(evaluator, ShowsPrompts)]
            said = [sentence for one in prompting for sentence in one.check_prompts(shapes, tokenizer)]
            self._shown[key] = [*said, *_slow(model, source, shapes)]
        return self._shown[key]

    def _tokenizer(self, source: "Path | GgufFile", settings: Settings) -> "PreTrainedTokenizerBase":
        from surgery.tokens.tokenizer import load_tokenizer

        model = settings.model
        key = canonical_json([_key(settings), model.date])
        if key in self._tokenizers:
            return self._tokenizers[key]
        if isinstance(source, Path):
            self._tokenizers[key] = load_tokenizer(
                source, model.path, trust_remote_code=model.trust_remote_code, date=model.date
            )
        else:
            from surgery.model.gguf_tokenizer import gguf_tokenizer

            self._tokenizers[key] = gguf_tokenizer(source, told(model.path, model.gguf), model.date)
        return self._tokenizers[key]

    def model(self, settings: Settings) -> ModelFacts:
        """The model's shapes and fingerprint; fetched from the hub where it is not here."""
        from surgery.model.fingerprints import model_identity

        key = _key(settings)
        if key not in self._models:
            source, shapes = self.shapes(settings)
            if isinstance(source, Path):
                identity = model_identity(source, settings.model.trust_remote_code, shapes, self.keep)
            else:
                from surgery.model.gguf_identity import gguf_identity

                identity = gguf_identity(source, shapes, self.keep)
            self._models[key] = ModelFacts(shapes, identity)
        return self._models[key]


def _slow(model: ModelSettings, source: "Path | GgufFile", shapes: "PreTrainedModel") -> list[str]:
    """A sentence where the model's numbers are slow on this machine."""
    import torch

    from surgery.model.cpu_numbers import slow_numbers

    # Whether a device that is named is here, is for the machine to say that loads the model: it may be a cluster's.
    if model.device != "cpu" and (model.device != "auto" or torch.cuda.is_available()):
        return []
    if model.dtype != "auto":
        dtype = getattr(torch, model.dtype)
    elif isinstance(source, Path):
        dtype = shapes.config.dtype or torch.float32
    else:
        from surgery.model.gguf_model import own_dtype

        dtype = own_dtype(source)
    said = slow_numbers(shapes, dtype)
    return [said] if said else []


def _key(settings: Settings) -> str:
    """What a model is read from, and how."""
    model = settings.model
    return canonical_json([model.path, model.gguf, model.revision, model.trust_remote_code])


def _not_made(error: HydraException, measurements: Mapping[str, Any]) -> InputError:
    """What is wrong with a node of `evaluation.measurements` that nothing can be made of."""
    from sweeps.config.key_types import TARGET, parameters

    cause = error.__cause__
    if isinstance(cause, InputError):
        return cause
    said, below = str(error), re.search(r"^full_key: (\S+)$", str(error), re.MULTILINE)
    path = ["evaluation", "measurements", *(below[1].split(".") if below else [])]
    node: Any = {"evaluation": {"measurements": measurements}}
    for name in path:
        node = node.get(name, {}) if isinstance(node, Mapping) else {}
    if match := re.search(r"got an unexpected keyword argument '(\w+)'", said):
        takes = [name for name in parameters(node.get(TARGET)) if name != "return"]
        return unknown_key(match[1], takes, f"{'.'.join(path)}.")
    if match := re.search(r"missing \d+ required \w+ arguments?: '(\w+)'", said):
        key = ".".join([*path, match[1]])
        return KeyIsWrong(f"{key} is not given; say {key}=...", key)
    return KeyIsWrong(f"{'.'.join(path)}: {said.splitlines()[0]}", ".".join(path))


def _check_probe_file(path: Path, given: str) -> None:
    """What can be said without torch, whose import alone takes seconds; the rest is said when the probe is loaded."""
    if not path.is_file():
        raise InputError(f"probe.path '{given}' is not there; give a .safetensors or .pt file")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "np") as file:
                keys = set(file.keys())
        except SafetensorError as error:
            raise InputError(f"probe.path '{given}' can't be read as safetensors: {error}") from None
        if not {"weight", "bias"} <= keys:
            raise InputError(f"probe.path '{given}' is no probe; it holds {', '.join(sorted(keys)) or 'nothing'}")


def _paths(values: Any) -> list[Path]:
    if isinstance(values, Mapping):
        return [path for value in values.values() for path in _paths(value)]
    if isinstance(values, list):
        return [path for value in values for path in _paths(value)]
    return [Path(values)] if isinstance(values, str) and os.sep in values else []
