"""What a command's models tell without their weights being loaded, each read once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import GENERATION_CONFIG_NAME

from evaluation.engines.continuous_batching import require_batchable
from evaluation.engines.decoding import end_tokens
from evaluation.evaluator import Evaluator, ShowsPrompts
from surgery.edits.intervention import Intervention
from surgery.errors import InputError, foreign_errors
from surgery.files.gguf_file import GgufFile
from surgery.files.gguf_place import gguf_of, told
from surgery.from_gguf.gguf_model import gguf_skeleton, own_dtype
from surgery.from_gguf.gguf_tokenizer import gguf_tokenizer
from surgery.machine.cpu_numbers import slow_numbers
from surgery.model.digest_cache import Keep
from surgery.model.fingerprints import model_identity
from surgery.model.gguf_identity import gguf_identity
from surgery.model.model_files import model_folder, require_fit, skeleton, sound_weights
from surgery.model.model_identity import ModelIdentity, chain_fingerprint, misplaced
from surgery.model.quantisation import unpacking
from surgery.probe.probe import Probe
from surgery.rows.locator import layer_count, locate
from surgery.states.text_batches import reading_of_texts
from surgery.texts.texts import LabelledTexts
from surgery.tokens.framing import Framing, set_framing
from surgery.tokens.template_checks import ends_turns, require_framing
from surgery.tokens.tokenizer import load_tokenizer
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.cell import chat_settings
from sweeps.cell.settings import Settings
from sweeps.plan.template_notes import require_prompts_for, require_template_for, template_notes
from sweeps.records.chain import read_named


@dataclass(frozen=True)
class ModelFacts:
    """What a model's folder tells without its weights being loaded."""

    skeleton: PreTrainedModel
    identity: ModelIdentity

    @property
    def fingerprint(self) -> str:
        """What edits are held against."""
        return self.identity.fingerprint

    @cached_property
    def depth(self) -> int:
        """The number of layers."""
        return layer_count(self.skeleton)

    def rows(self, component: str, layers: Sequence[int]) -> int:
        """How many candidate rows a component has in some layers."""
        return sum(count for layer, count in self._counts(component).items() if layer in layers)

    def layers(self, component: str) -> list[int]:
        """The layers that have rows of a component; all, but for queries and the like where some mix differently."""
        return list(self._counts(component))

    def _counts(self, component: str) -> dict[int, int]:
        if component not in self._located:
            counts: dict[int, int] = {}
            for home in locate(self.skeleton, component):
                counts[home.layer] = counts.get(home.layer, 0) + home.total
            self._located[component] = counts
        return self._located[component]

    @cached_property
    def _located(self) -> dict[str, dict[int, int]]:
        return {}


class ModelReading:
    """Reads, checks and keeps. Every method raises InputError for what is wrong.

    Args:
        keep: where the digests of weights are kept.
    """

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._models: dict[str, ModelFacts] = {}
        self._earlier: dict[str, tuple[Intervention, ...]] = {}
        self._shapes: dict[str, tuple[Path | GgufFile, PreTrainedModel]] = {}
        self._tokenizers: dict[str, PreTrainedTokenizerBase] = {}

    def earlier(self, settings: Settings) -> tuple[Intervention, ...]:
        """What the composition names, each with what was before it: of finished cells or from files."""
        key = canonical_json(settings.composition)
        if key not in self._earlier:
            self._earlier[key] = tuple(read_named(settings.composition))
        chain = self._earlier[key]
        if found := misplaced(self.facts(settings).fingerprint, chain):
            place, applied_to = found
            raise InputError(
                f"composition: number {place + 1} was made for model {chain[place].base_fingerprint}, "
                f"but here it is applied to {applied_to}"
            )
        return chain

    def shapes(self, settings: Settings) -> tuple[Path | GgufFile, PreTrainedModel]:
        """The model's folder or file, and its skeleton; fetched from the hub where it is not here."""
        model = settings.model
        key = _key(settings)
        if key not in self._shapes and (file := gguf_of(model.path, model.gguf, model.revision)) is not None:
            self._shapes[key] = file, gguf_skeleton(file, told(model.path, model.gguf))
        if key not in self._shapes:
            folder = model_folder(model.path, model.revision)
            shapes = skeleton(folder, model.trust_remote_code)
            unpacking(shapes.config, model.path)
            given = f"model.path '{model.path}'"
            require_fit(shapes, sound_weights(folder, given), given)
            self._shapes[key] = folder, shapes
        return self._shapes[key]

    def shown(
        self,
        settings: Settings,
        texts: LabelledTexts,
        evaluators: Mapping[str, Evaluator],
        identities: Mapping[str, Any],
    ) -> list[str]:
        """Holds texts and prompts against the tokenizer, as they will be shown to the model.

        Args:
            settings, texts: of the cell.
            evaluators, identities: what is measured, by name.

        Returns:
            What a person should know of it, in sentences.

        Raises:
            InputError: for a model that can't be edited, or can't generate in the way that is asked for; for a
                tokenizer or chat template that can't be used, one that leaves no room for a text, a
                system prompt or a way with thoughts that it has no place for, and a token that the model has no
                embedding of.
        """
        behavior, (source, shapes) = settings.behavior, self.shapes(settings)
        # A model that can't be edited at all is told first.
        locate(shapes, settings.region.component)
        if settings.engine.batching == "continuous":
            require_batchable(shapes)
        tokenizer = self._tokenizer(source, settings)
        prompts = list(chat_settings(identities))
        require_template_for(settings.model, settings.model.chat or behavior.chat or any(prompts))
        require_framing(tokenizer, settings.model.framing())
        require_prompts_for(settings.method, any(prompts))
        if settings.method.needs.system:
            require_framing(tokenizer, Framing(settings.method.system), "method=system_prompt")
        reading = reading_of_texts(shapes, behavior.max_length, behavior.chat, group="behavior.")
        reading.check(shapes, tokenizer, texts.texts)
        prompting = [evaluator for evaluator in evaluators.values() if isinstance(evaluator, ShowsPrompts)]
        said = [sentence for one in prompting for sentence in one.check_prompts(shapes, tokenizer)]
        if prompts:
            made_for_it = ends_turns(tokenizer, _ends(source, shapes, tokenizer))
            said += template_notes(settings.model, made_for_it, any(prompts))
        slow = self.slow(settings)
        return [*said, slow] if slow else said

    def slow(self, settings: Settings) -> str | None:
        """A sentence where the model's numbers are slow on this machine."""
        model, (source, shapes) = settings.model, self.shapes(settings)
        # Whether a device that is named is here, is for the machine to say that loads the model: it may be a cluster's.
        if model.device != "cpu" and (model.device != "auto" or torch.cuda.is_available()):
            return None
        if model.dtype != "auto":
            dtype = getattr(torch, model.dtype)
        elif isinstance(source, Path):
            dtype = shapes.config.dtype or torch.float32
        else:
            dtype = own_dtype(source)
        return slow_numbers(shapes, dtype)

    def probe(self, settings: Settings) -> Probe | None:
        """The probe of `probe=file`, held against the model; None for those that are fitted."""
        if settings.probe.method != "file":
            return None
        model, earlier = self.facts(settings), [one.fingerprint for one in self.earlier(settings)]
        probe = Probe.load(Path(str(settings.probe.path)).expanduser())
        probe.require_fit(
            width=model.skeleton.config.get_text_config().hidden_size,
            model_fingerprint=chain_fingerprint(model.fingerprint, earlier),
            what=f"the probe in '{settings.probe.path}'",
        )
        return probe

    def _tokenizer(self, source: Path | GgufFile, settings: Settings) -> PreTrainedTokenizerBase:
        model = settings.model
        key = canonical_json([_key(settings), model.date, model.framing().identity()])
        if key in self._tokenizers:
            return self._tokenizers[key]
        if isinstance(source, Path):
            self._tokenizers[key] = load_tokenizer(
                source, model.path, trust_remote_code=model.trust_remote_code, date=model.date
            )
        else:
            self._tokenizers[key] = gguf_tokenizer(source, told(model.path, model.gguf), model.date)
        set_framing(self._tokenizers[key], model.framing())
        return self._tokenizers[key]

    def facts(self, settings: Settings) -> ModelFacts:
        """The model's shapes and fingerprint; fetched from the hub where it is not here."""
        key = _key(settings)
        if key not in self._models:
            source, shapes = self.shapes(settings)
            if isinstance(source, Path):
                identity = model_identity(source, settings.model.trust_remote_code, shapes, self._keep)
            else:
                identity = gguf_identity(source, shapes, self._keep)
            self._models[key] = ModelFacts(shapes, identity)
        return self._models[key]


def _ends(source: Path | GgufFile, shapes: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens at which the model stops."""
    if not isinstance(source, Path) or not (source / GENERATION_CONFIG_NAME).is_file():
        return end_tokens(shapes.generation_config, tokenizer)
    with foreign_errors(f"'{source / GENERATION_CONFIG_NAME}' can't be read"):
        return end_tokens(GenerationConfig.from_pretrained(source), tokenizer)


def _key(settings: Settings) -> str:
    """What a model is read from, and how."""
    model = settings.model
    return canonical_json([model.path, model.gguf, model.revision, model.trust_remote_code])
