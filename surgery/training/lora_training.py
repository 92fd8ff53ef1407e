"""LoRA fine-tuning on texts by PEFT, as the factors that it finds."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from surgery.changes.factors import Factors
from surgery.edits.low_rank import LowRankChange
from surgery.edits.new_weights import layer_of_parameters
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.rows.linear_layers import linear_layers
from surgery.states.text_batches import encode_texts, reading_of_texts
from surgery.tokens.encoding import padding_id
from surgery.tokens.padding import padded
from surgery.training.training import Training, first_of, shuffled_batches


def finetune_lora(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    rank: int = 8,
    **training: Unpack[Training],
) -> LowRankChange:
    """Trains a LoRA (Hu et al. 2022) of every linear layer but the head to continue texts; the model is left as it was.

    The loss is next-token cross-entropy, the optimizer AdamW, the scaling 1. The same change taken with alpha -1 is
    the negated task vector of these texts (Ilharco et al. 2023). Experts in one tensor are no linear layers, and stay.

    Args:
        model: on one device.
        texts: what to learn to say; or, for a task vector, to unlearn.
        rank: of each matrix's change.
        training: by default one epoch of AdamW with lr 1e-4, in batches of 16 texts of at most 100 tokens, seed 0.

    Raises:
        InputError: for no texts of two tokens or more; for a model of experts whose other linear layers PEFT takes for
            them by name, as DeepSeek-V3's first ones; for training that ran into NaN or changed nothing.
    """
    began_from = fingerprint(model)
    layers = layer_of_parameters(model)
    with lora_in_place(model, tokenizer, texts, rank=rank, **training) as lora:
        lora.train_to(training.get("epochs", 1) * lora.steps_an_epoch)
        trained = trained_factors(lora.adapted, layers)
    return LowRankChange(trained, began_from)


@contextmanager
def lora_in_place(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    rank: int = 8,
    lr_key: str = "method.lr",
    **training: Unpack[Training],
) -> Iterator["LoraInPlace"]:
    """A LoRA as `finetune_lora` trains it, in the model for the body of a `with`: whoever runs the model runs it too.

    Whatever is done to the model otherwise, by its weights or by hooks, stays as it is, and the LoRA learns on top of
    it. Afterwards the model is as it was, also when the body raises.

    Args:
        model, texts, rank: see `finetune_lora`.
        lr_key: what a person calls the learning rate, for errors.
        training: see there; `epochs` is of no account.

    Raises:
        InputError: see there.
    """
    reading = reading_of_texts(model, training.get("max_length", 100), training.get("chat", False))
    encoded = [one for one in encode_texts(model, tokenizer, texts, reading).ids if len(one) > 1]
    if not encoded:
        raise InputError("fine-tuning needs texts of two tokens or more, and there are none")
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.get("seed", 0))
        with warnings.catch_warnings():
            # PEFT asks for a name that transformers is about to change; nobody here can do anything about it.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            adapted: Any = get_peft_model(model, lora_config(model, rank))
        state = torch.random.get_rng_state()
    try:
        require_matrices(adapted, model)
        batches = _Batches(encoded, training.get("batch_size", 16), padding_id(model, tokenizer), adapted.device)
        yield LoraInPlace(adapted, batches, state, training, lr_key)
    finally:
        adapted.unload()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trainable[name])


def lora_config(model: PreTrainedModel, rank: int) -> LoraConfig:
    """A LoRA of every linear layer but the head, with scaling 1 and no dropout.

    Layers go by their whole names: PEFT's `all-linear` means experts in one tensor too.
    """
    layers = linear_layers(model)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=rank,
        lora_dropout=0.0,
        target_modules=list(layers),
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in layers.values()),
    )


def require_matrices(adapted: Any, model: PreTrainedModel) -> None:
    """Raises InputError where PEFT adapts more than the linear layers that it was told of."""
    if adapted.targeted_parameter_names:
        raise InputError(
            f"PEFT takes linear layers of {type(model).__name__} for its experts in one tensor, which no LoRA "
            "of matrices can carry; fine-tune another model"
        )


@dataclass(frozen=True)
class _Batches:
    """Texts as token ids in batches without end: each time all of them, in an order that torch draws."""

    encoded: Sequence[list[int]]
    size: int
    pad: int
    device: torch.device

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in shuffled_batches(len(self.encoded), self.size):
            yield padded([self.encoded[i] for i in batch], self.pad, self.device)


class LoraInPlace:
    """A LoRA that is in a model; made by `lora_in_place`.

    Attributes:
        adapted: the model as PEFT sees it.
        steps_an_epoch: steps of the optimizer that read each text once.
    """

    def __init__(
        self, adapted: Any, batches: _Batches, random_state: torch.Tensor, training: Training, lr_key: str
    ) -> None:
        self.adapted = adapted
        self.steps_an_epoch = -(-len(batches.encoded) // batches.size)
        self._steps, self._batches, self._random_state = 0, iter(batches), random_state
        self._lr, self._lr_key, self._progress = training.get("lr", 1e-4), lr_key, training.get("progress", False)
        self._weights = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._weights, lr=self._lr, weight_decay=0.0)

    def train_to(self, steps: int) -> None:
        """Goes on until so many steps were made in all; raises InputError for training that ran into NaN."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.random.set_rng_state(self._random_state)
            for inputs in first_of(self._batches, max(0, steps - self._steps), "fine-tuning", self._progress):
                labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
                self._optimizer.zero_grad()
                self.adapted(**inputs, labels=labels, use_cache=False).loss.backward()
                self._optimizer.step()
            self._random_state = torch.random.get_rng_state()
        self._steps = max(steps, self._steps)
        require_finite(self._weights, self._lr, self._lr_key)


def require_finite(weights: Iterable[torch.Tensor], lr: float, lr_key: str = "method.lr") -> None:
    """Raises InputError where training ran into NaN or infinite numbers."""
    if not all(weight.isfinite().all() for weight in weights):
        raise InputError(f"fine-tuning ran into NaN or infinite numbers; take a smaller {lr_key} than {lr}")


def trained_factors(adapted: Any, layers: Mapping[str, int]) -> tuple[Factors, ...]:
    """Of each matrix that changed.

    Args:
        adapted: PEFT's model, with `lora_config`; its scaling is 1, so the factors are the whole change.
        layers: {parameter: 1..L} of those in a block.
    """
    return tuple(_factors(adapted, layers))


def _factors(adapted: Any, layers: Mapping[str, int]) -> Iterator[Factors]:
    modules: list[tuple[str, Any]] = list(adapted.base_model.model.named_modules())
    for name, module in modules:
        if isinstance(module, LoraLayer):
            layer: Any = module
            a, b = (
                half["default"].weight.detach().to("cpu", torch.float32, copy=True)
                for half in (layer.lora_A, layer.lora_B)
            )
            # B begins at zero, and stays there where no text reaches the matrix.
            if b.any():
                parameter = f"{name}.weight"
                yield Factors(parameter, layers.get(parameter, 0), a, b, layer.fan_in_fan_out)
