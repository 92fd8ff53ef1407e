"""Any text classifier of the Hugging Face hub, or of a folder, as a judge of continuations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.continuations import Judged
from evaluation.inputs.isolation import preserved_random_state, quiet
from evaluation.inputs.model_input import padded
from evaluation.inputs.named_files import folder_digests
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError
from surgery.files.hub import snapshot
from surgery.files.local_paths import names_a_folder, require_folder
from surgery.states.batch_budget import BatchBudget
from surgery.states.batching import run_in_batches
from surgery.tokens.encoding import embedding_rows, padding_id, require_embeddings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from surgery.states.batch_budget import BatchBudget

_FILES = ("*.json", "*.txt", "*.model")


@dataclass(frozen=True)
class Classifier:
    """A continuation counts for a metric when its likeliest class is the metric's, or that class's share is enough.

    Attributes:
        model: a folder, or a name on the hub.
        metrics: {name of the metric: class}; a class by its name in the model's config, or by its number.
        revision: branch, tag or commit on the hub.
        threshold: from which probability of the class on a continuation counts; None: when it is the likeliest.
        tokens_per_batch: budget of a batch, padding counted; None is found from the classifier and its device.
        max_length: longest continuation in tokens; what is longer loses its end. None is what the tokenizer says.
        device: `auto` is a GPU where there is one.
        pair: the classifier reads the prompt and the continuation, as its tokenizer puts two texts together; of a pair
            that is too long the longer of the two loses its end.
    """

    model: str
    metrics: Mapping[str, str | int]
    revision: str | None = None
    threshold: float | None = None
    tokens_per_batch: int | None = None
    max_length: int | None = None
    device: str = "auto"
    pair: bool = False
    _kept: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    def check(self) -> None:
        """Fetches the config and the weights where they are not here; raises InputError for what is missing or wrong.

        Which classes there are is told by the config, before any weights are read.
        """
        if not self.metrics:
            raise InputError(f"the classifier '{self.model}' is given no metrics; give {{NAME: CLASS}}")
        tokens = 1 if self.tokens_per_batch is None else self.tokens_per_batch
        if tokens < 1 or (self.threshold is not None and not 0 <= self.threshold <= 1):
            raise InputError(
                f"the classifier's tokens_per_batch={self.tokens_per_batch}, threshold={self.threshold} can't be used: "
                "tokens_per_batch has to be 1 or more and threshold 0 to 1, or null"
            )
        self._classes()

    def prepare(self) -> None:
        """Loads the classifier; raises InputError."""
        self._loaded()

    def identity(self) -> dict[str, JSON]:
        """The model's files by content, the classes and the threshold."""
        digests: dict[str, JSON] = dict(folder_digests(self._folder()))
        return {
            "kind": "classifier",
            "files": digests,
            "metrics": dict(self._classes()),
            "threshold": self.threshold,
            "tokens_per_batch": self.tokens_per_batch,
            "max_length": self.max_length,
            **({"pair": True} if self.pair else {}),
        }

    def metric_names(self) -> list[str]:
        """See `evaluation.evaluator.NamesMetrics`."""
        return list(self.metrics)

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Judged:
        """Each metric: 1 where the continuation is of its class, else 0; [n]."""
        budget = BatchBudget.of(self._loaded()[0], "judging", self.tokens_per_batch)
        probabilities = self._probabilities(prompts, continuations, budget)
        scores = {}
        for name, index in self._classes().items():
            chosen = probabilities[:, index]
            counts = probabilities.argmax(1) == index if self.threshold is None else chosen >= self.threshold
            scores[name] = counts.astype(np.float64)
        return Judged(scores, {"tokens_per_batch": budget.tokens, "halvings": budget.halvings})

    def _probabilities(
        self, prompts: Sequence[str], texts: Sequence[str], budget: "BatchBudget"
    ) -> NDArray[np.float64]:
        """Softmax over the classes, [n, classes]; of independent classes (multi-label models) each one's sigmoid."""
        import torch

        model, tokenizer = self._loaded()
        given = (list(prompts), list(texts)) if self.pair else (list(texts),)
        cut = "longest_first" if self.pair else True
        read = tokenizer(*given, truncation=cut, max_length=self._longest(), verbose=False)
        encoded = read["input_ids"]
        # BERT tells the two texts apart by these, where its tokenizer gives them.
        kinds = read.get("token_type_ids") if self.pair else None
        lengths = [max(1, len(ids)) for ids in encoded]
        pad = _padding(model, tokenizer)
        require_embeddings(model, tokenizer, encoded, "continuation")
        independent = model.config.problem_type == "multi_label_classification"

        @torch.no_grad()
        def run(indices: list[int]) -> "torch.Tensor":
            inputs = padded(model, [list(encoded[i]) or [pad] for i in indices], "right", pad)
            if kinds is not None:
                inputs["token_type_ids"] = padded(model, [list(kinds[i]) or [0] for i in indices], "right", 0)[
                    "input_ids"
                ]
            logits = model(**inputs).logits.float()
            probabilities: torch.Tensor = logits.sigmoid() if independent else logits.softmax(-1)
            return probabilities.double().cpu()

        found = np.zeros((len(texts), int(model.config.num_labels or 0)))
        with preserved_random_state():
            for indices, rows in run_in_batches(lengths, budget, run):
                found[indices] = rows.numpy()
        return found

    def _longest(self) -> int:
        model, tokenizer = self._loaded()
        # RoBERTa's positions begin after its padding token's.
        places = getattr(model.config, "max_position_embeddings", None) or 512
        offset = (model.config.pad_token_id or 0) + 1 if "roberta" in model.config.model_type else 0
        return min(self.max_length or places, tokenizer.model_max_length, places - offset)

    def _classes(self) -> dict[str, int]:
        """{metric: number of its class}."""
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(self._folder())
        except (ValueError, OSError, KeyError) as error:
            raise InputError(f"the classifier '{self.model}' can't be read: {str(error).splitlines()[0]}") from None
        numbers = {str(name): int(number) for number, name in config.id2label.items()}
        found = {}
        for metric, name in self.metrics.items():
            number = name if isinstance(name, int) else numbers.get(name, -1)
            if number not in range(config.num_labels):
                raise InputError(
                    f"the classifier '{self.model}' has no class '{name}'; its classes are {', '.join(numbers)}"
                )
            found[metric] = number
        return found

    def _folder(self) -> Path:
        if "folder" not in self._kept:
            require_folder(self.model, "the classifier")
            if names_a_folder(self.model):
                self._kept["folder"] = Path(self.model).expanduser()
            else:
                self._kept["folder"] = _fetched(self.model, self.revision)
        return self._kept["folder"]

    def _loaded(self) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        import torch

        device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        return _load(self._folder(), tuple(folder_digests(self._folder()).items()), self.model, device)


def _fetched(name: str, revision: str | None) -> Path:
    """The folder in the cache: safetensors, or where there are none the tensors of a PyTorch file."""

    def fetched(weights: str) -> Path:
        return snapshot("model", name, revision, [*_FILES, weights], "the classifier", "give the path of a folder")

    folder = fetched("model*.safetensors")
    return folder if list(folder.glob("model*.safetensors")) else fetched("pytorch_model*.bin")


def _padding(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """A token that is there; where the tokenizer's is not, the model's own, by which some find a text's last token."""
    own, named = getattr(model.config, "pad_token_id", None), tokenizer.pad_token_id
    if own is not None and 0 <= own < embedding_rows(model) and (named is None or named >= embedding_rows(model)):
        return int(own)
    return padding_id(model, tokenizer)


@lru_cache(maxsize=4)
def _load(
    folder: Path, contents: tuple[object, ...], told: str, device: str
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """`contents` is there for the cache: a folder with other contents is another folder."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        with quiet(), preserved_random_state():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            # A PyTorch file is read as tensors only: transformers refuses any that holds more.
            model, loading = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    except Exception as error:
        raise InputError(f"the classifier '{told}' can't be loaded: {str(error).splitlines()[0]}") from error
    if missing := sorted(loading["missing_keys"]):
        # transformers would fill them with random numbers and go on.
        raise InputError(f"the classifier '{told}' lacks {len(missing)} of its weights, {missing[0]} among them")
    return model.to(device).eval(), tokenizer
