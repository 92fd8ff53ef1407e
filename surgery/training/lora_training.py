"""LoRA fine-tuning on texts by PEFT, as the factors that it finds."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from surgery.training.training import Training, training_batches


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
    reading = reading_of_texts(model, training.get("max_length", 100), training.get("chat", False))
    encoded = [one for one in encode_texts(model, tokenizer, texts, reading).ids if len(one) > 1]
    if not encoded:
        raise InputError("fine-tuning needs texts of two tokens or more, and there are none")
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    layers = layer_of_parameters(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.get("seed", 0))
        with warnings.catch_warnings():
            # PEFT asks for a name that transformers is about to change; nobody here can do anything about it.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
            adapted: Any = get_peft_model(model, lora_config(model, rank))
        try:
            require_matrices(adapted, model)
            _train(adapted, encoded, padding_id(model, tokenizer), training)
            trained = trained_factors(adapted, layers)
        finally:
            adapted.unload()
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(trainable[name])
    return LowRankChange(trained, began_from)


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


def _train(adapted: Any, encoded: Sequence[list[int]], pad: int, training: Training) -> None:
    lr = training.get("lr", 1e-4)
    weights = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    with torch.enable_grad():
        for batch in training_batches(len(encoded), training, "fine-tuning"):
            inputs = padded([encoded[i] for i in batch], pad, adapted.device)
            labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
            optimizer.zero_grad()
            adapted(**inputs, labels=labels, use_cache=False).loss.backward()
            optimizer.step()
    require_finite(weights, lr)


def require_finite(weights: Iterable[torch.Tensor], lr: float) -> None:
    """Raises InputError where training ran into NaN or infinite numbers."""
    if not all(weight.isfinite().all() for weight in weights):
        raise InputError(f"fine-tuning ran into NaN or infinite numbers; take a smaller method.lr than {lr}")


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
