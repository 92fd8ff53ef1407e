"""Fine-tuning on pairs of texts by TRL, as the factors that it finds: DPO, and SFT on what is preferred.

TRL is an extra; whoever imports this module needs it.
"""

import random
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from surgery.edits.low_rank import LowRankChange
from surgery.edits.new_weights import layer_of_parameters
from surgery.errors import InputError
from surgery.files.temporary_folder import TemporaryFolder
from surgery.model.fingerprints import fingerprint
from surgery.model.shared_copy import shared_copy
from surgery.states.text_batches import encode_texts, reading_of_texts
from surgery.texts.text_pairs import TextPairs
from surgery.tokens.encoding import Reading, encode, padding_id, token_ids
from surgery.training.lora_training import lora_config, require_finite, require_matrices, trained_factors
from surgery.training.training import Training

Rows = list[dict[str, list[int]]]


class _Quiet:
    """What a trainer does beside training is left out: TRL tells its makers of each run, and encodes texts itself."""

    def _send_telemetry(self) -> None:
        pass

    def _prepare_dataset(self, dataset: Dataset, *_: object) -> Dataset:
        return dataset


class _DPO(_Quiet, DPOTrainer):
    pass


class _SFT(_Quiet, SFTTrainer):
    pass


@dataclass(frozen=True)
class _Kind:
    """What TRL trains with, the learning rate unless it is said, and what the bar calls it."""

    trainer: type
    arguments: type
    lr: float
    description: str


DPO, SFT = _Kind(_DPO, DPOConfig, 1e-5, "DPO"), _Kind(_SFT, SFTConfig, 1e-4, "SFT")


class _Bar(TrainerCallback):
    """The project's own bar, in place of the trainer's and of what it prints."""

    def __init__(self, description: str, progress: bool) -> None:
        self._description, self._progress = description, progress

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar = tqdm(total=state.max_steps, desc=self._description, unit="batch", disable=not self._progress)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.close()


def finetune_dpo(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: TextPairs,
    *,
    rank: int = 8,
    beta: float = 0.1,
    **training: Unpack[Training],
) -> LowRankChange:
    """Trains a LoRA by direct preference optimization; the model is left as it was, and is the reference.

    A batch's loss is the mean of −log σ(β·[log π(y_w|x)/π_ref(y_w|x) − log π(y_l|x)/π_ref(y_l|x)]) (Rafailov et al.
    2023, Equation 7), with the chosen text y_w and the rejected y_l; AdamW at a constant rate, gradients cut at norm 1.

    Args:
        model: on one device.
        pairs: what to prefer to what.
        rank: of each matrix's change.
        beta: how dearly a step away from the reference is paid.
        training: by default one epoch with lr 1e-5, in batches of 16 pairs of texts of at most 100 tokens, seed 0.

    Raises:
        InputError: for no pairs; for a prompt that leaves no room for its texts; for a model of experts that PEFT takes
            for linear layers; for training that ran into NaN or changed nothing.
    """
    rows = _encoded(model, tokenizer, pairs, training)
    return _trained(model, tokenizer, rows, rank, training, DPO, beta=beta)


def finetune_sft(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: TextPairs,
    *,
    rank: int = 8,
    **training: Unpack[Training],
) -> LowRankChange:
    """Trains a LoRA to write the chosen texts, each after its prompt; the model is left as it was.

    The loss is next-token cross-entropy, the mean over a batch's tokens without those of prompts ("Preferred-FT" of
    Rafailov et al. 2023, Section 6); all else is as in `finetune_dpo`, but the lr is 1e-4 by default.
    """
    encoded = _encoded(model, tokenizer, pairs, training)
    rows = [
        {
            "input_ids": row["prompt_ids"] + row["chosen_ids"],
            "labels": [-100] * len(row["prompt_ids"]) + row["chosen_ids"],
        }
        for row in encoded
    ]
    # Of what is prepared already, TRL asks to be told.
    return _trained(model, tokenizer, rows, rank, training, SFT, dataset_kwargs={"skip_prepare_dataset": True})


def _encoded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: TextPairs, training: Training) -> Rows:
    """Token ids as the model is fed them anywhere else: never ended by what the tokenizer ends texts with."""
    if not pairs:
        raise InputError("fine-tuning needs pairs of texts, and there are none")
    reading = reading_of_texts(model, training.get("max_length", 100), training.get("chat", False))
    if not pairs.prompts:
        chosen, rejected = (
            encode_texts(model, tokenizer, texts, reading).ids for texts in (pairs.chosen, pairs.rejected)
        )
        return [
            {"prompt_ids": [], "chosen_ids": one, "rejected_ids": other}
            for one, other in zip(chosen, rejected, strict=True)
        ]
    prompts = encode(
        model,
        tokenizer,
        pairs.prompts,
        Reading(
            reading.longest, chat=reading.chat, answer_follows=True, keep="end", what="prompt", limit=reading.limit
        ),
    ).ids
    rows = []
    answers = (token_ids(tokenizer, texts, special_tokens=False) for texts in (pairs.chosen, pairs.rejected))
    for number, (prompt, chosen, rejected) in enumerate(zip(prompts, *answers, strict=True), start=1):
        room = None if reading.longest is None else reading.longest - len(prompt)
        if room == 0:
            raise InputError(
                f"the prompt of pair {number} takes all of the {reading.longest} tokens ({reading.limit}) and leaves "
                "no room for its texts; allow more, or leave it out"
            )
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen[:room], "rejected_ids": rejected[:room]})
    return rows


def _trained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    rank: int,
    training: Training,
    kind: _Kind,
    **options: Any,
) -> LowRankChange:
    """The LoRA of one run of a trainer, which works on a copy of the model's modules: it changes more than weights."""
    began_from, lr = fingerprint(model), training.get("lr", kind.lr)
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    copied, own_tokenizer = shared_copy(model), deepcopy(tokenizer)
    own_tokenizer.pad_token = own_tokenizer.convert_ids_to_tokens(padding_id(model, tokenizer))
    # It stays as it is when it is evaluated, without dropout.
    copied.train = lambda mode=True: copied  # type: ignore[method-assign]
    try:
        with (
            TemporaryFolder("training") as folder,
            _random_state_kept(),
            _on_its_device(model),
            torch.enable_grad(),
            warnings.catch_warnings(),
        ):
            # PEFT and TRL ask for names that transformers is about to change; nobody here can do anything about it.
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated")
            trainer = kind.trainer(
                model=copied,
                args=kind.arguments(**_arguments(model, folder, training), learning_rate=lr, **options),
                train_dataset=Dataset.from_list(rows),
                processing_class=own_tokenizer,
                peft_config=lora_config(copied, rank),
                callbacks=[_Bar(kind.description, training.get("progress", False))],
            )
            require_matrices(trainer.model, model)
            for printing in (PrinterCallback, ProgressCallback):
                trainer.remove_callback(printing)
            trainer.train()
            require_finite((one for one in trainer.model.parameters() if one.requires_grad), lr)
            trained = trained_factors(trainer.model, layer_of_parameters(model))
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(trainable[name])
    return LowRankChange(trained, began_from)


def _arguments(model: PreTrainedModel, folder: Path, training: Training) -> dict[str, Any]:
    """What every training has in common: nothing is saved, logged, reported or cast; the rate is constant."""
    return {
        "output_dir": str(folder),
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "num_train_epochs": training.get("epochs", 1),
        "per_device_train_batch_size": training.get("batch_size", 16),
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "seed": training.get("seed", 0),
        "max_length": None,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "remove_unused_columns": False,
        "use_cpu": model.device.type == "cpu",
    }


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """The trainer seeds everything there is."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _on_its_device(model: PreTrainedModel) -> AbstractContextManager[object]:
    """The trainer puts a model on the current device."""
    return torch.cuda.device(model.device) if model.device.type == "cuda" else nullcontext()
