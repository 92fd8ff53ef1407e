"""LoRA fine-tuning on texts by PEFT, as the weights it merges to."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.chat import in_chat_template
from surgery.errors import InputError
from surgery.fingerprints import fingerprint
from surgery.gradient_ascent import padded
from surgery.new_weights import NewWeights
from surgery.text_batches import encode


def finetune_lora(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    rank: int = 8,
    lr: float = 1e-4,
    epochs: int = 1,
    batch_size: int = 16,
    max_length: int = 100,
    chat: bool = False,
    seed: int = 0,
) -> NewWeights:
    """Trains a LoRA (Hu et al. 2022) of every linear layer but the head to continue texts; the model is left as it was.

    The loss is next-token cross-entropy, the optimizer AdamW, the scaling 1. The same change taken with alpha -1 is
    the negated task vector of these texts (Ilharco et al. 2023).

    Args:
        model: on one device.
        texts: what to learn to say; or, for a task vector, to unlearn.
        rank: of each matrix's change.
        lr, epochs, batch_size: of AdamW.
        max_length, chat: as in `collect_hidden_states`.
        seed: of the start and of the order of the texts.

    Raises:
        InputError: for no texts of two tokens or more, or training that ran into NaN or changed nothing.
    """
    began_from = fingerprint(model)
    shown = in_chat_template(tokenizer, texts) if chat else list(texts)
    encoded = encode(model, tokenizer, shown, max_length, add_special_tokens=not chat) if shown else []
    encoded = [one for one in encoded if len(one) > 1]
    if not encoded:
        raise InputError("fine-tuning needs texts of two tokens or more, and there are none")
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    config = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted: Any = get_peft_model(model, config)
        try:
            _train(adapted, encoded, tokenizer.pad_token_id or 0, lr, epochs, batch_size)
            trained = _merged(adapted)
        finally:
            adapted.unload()
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(trainable[name])
    if not all(values.isfinite().all() for values in trained.values()):
        raise InputError(f"fine-tuning ran into NaN or infinite numbers; take a smaller method.lr than {lr}")
    return NewWeights(trained, began_from)


def _train(adapted: Any, encoded: Sequence[list[int]], pad: int, lr: float, epochs: int, batch_size: int) -> None:
    weights = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    with torch.enable_grad():
        for _ in range(epochs):
            for batch in torch.randperm(len(encoded)).split(batch_size):
                inputs = padded([encoded[i] for i in batch.tolist()], pad, adapted.device)
                labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
                optimizer.zero_grad()
                adapted(**inputs, labels=labels, use_cache=False).loss.backward()
                optimizer.step()


@torch.no_grad()
def _merged(adapted: Any) -> dict[str, torch.Tensor]:
    """{parameter: W + B·A} of what changed; the sum is taken in float32 and rounded once."""
    trained = {}
    modules: list[tuple[str, Any]] = list(adapted.base_model.model.named_modules())
    for name, module in modules:
        if isinstance(module, LoraLayer):
            layer: Any = module
            weight: torch.Tensor = layer.get_base_layer().weight.data
            new = (weight.float() + layer.get_delta_weight("default").float()).to(weight.dtype)
            if not torch.equal(new, weight):
                trained[f"{name}.weight"] = new.to("cpu", copy=True)
    return trained
