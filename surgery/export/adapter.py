"""Edits and changes of low rank as a PEFT LoRA adapter: each is a product of thin matrices already, so it is exact."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from surgery.changes.factors import Factored
from surgery.errors import InputError
from surgery.files.tensor_file import save_tensors
from surgery.files.whole_folders import folder_written_whole
from surgery.model.model_identity import misplaced

FORMAT = "surgery.adapter/1"
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def save_adapter(
    edits: Sequence[Factored],
    path: str | Path,
    *,
    base: str | None = None,
    notes: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Writes a folder that `PeftModel.from_pretrained(base_model, path)` loads: a config and one safetensors file.

    Merged, one edit gives the very weights of `Edit.applied_to` in any dtype. Unmerged, logits agree to 1e-5 of
    their size in float32; in 16 bits to that dtype's precision, since the changed rows are then not rounded.
    An edit has rank 1: one side holds alpha·direction, the other a mask of zeros and ones, exact in every dtype. A
    `LowRankChange` has its own A, and alpha·B; merged it is the same but for the order of float32 sums. Stacked, their
    ranks add up to n, the same for every matrix; each has its own slots, zero where it leaves a matrix alone.
    vLLM can read it: one r and lora_alpha for all modules (it ignores rank_pattern and alpha_pattern) with scaling 1,
    whole module names, lora_A and lora_B alone, no bias, no modules_to_save, no DoRA. Its max_lora_rank (1, 8, 16,
    32, … 512; 16 unless told otherwise) must be at least n.

    Args:
        edits: edits and changes of low rank, oldest first, all for one base; one may have been made in the base with
            those before it applied.
        path: the folder to make; it is written whole or not at all.
        base: hub name or folder of the base model, noted in the config so that tools can find it.
        notes: JSON that is kept in the weights' metadata, under names of its own.
        force: replace an adapter that is there.

    Raises:
        InputError: for no edits, edits of different bases, an edit of experts in one tensor or one that is not finite;
            for a path that is there (without `force`), holds something else than an adapter, or can't be written.
    """
    edits = tuple(edits)
    require_one_base(edits)
    rank = sum(edit.rank for edit in edits)
    matrices, transposed = stacked_matrices(edits, rank)
    config = _lora_config(base, rank, list(matrices), transposed)
    tensors = {}
    for module, (a, b) in matrices.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = a
        tensors[f"base_model.model.{module}.lora_B.weight"] = b
    origin = {
        "format": FORMAT,
        "base_fingerprint": edits[0].base_fingerprint,
        "edit_fingerprints": [edit.fingerprint for edit in edits],
        **(notes or {}),
    }
    with folder_written_whole(Path(os.path.abspath(path)), CONFIG_FILE, "adapter", force) as folder:
        # "pt" is what the loaders of other libraries expect to find there.
        save_tensors(tensors, folder / WEIGHTS_FILE, {"format": "pt", "surgery": json.dumps(origin)})
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _lora_config(base: str | None, rank: int, modules: list[str], transposed: bool) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": transposed,
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
    }


def require_one_base(edits: Sequence[Factored]) -> None:
    """Raises InputError for no edits, and for edits that are not all of one base."""
    if not edits:
        raise InputError("an adapter holds at least one edit, and none was given")
    base = edits[0].base_fingerprint
    if found := misplaced(base, edits):
        place, _ = found
        raise InputError(
            f"edit {place + 1} was made for model {edits[place].base_fingerprint}, but the first for {base}; "
            "one adapter holds edits of one base, oldest first"
        )


def stacked_matrices(edits: Sequence[Factored], rank: int) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], bool]:
    """{module: (A [n, in], B [out, n])}, float32, none sharing memory, and whether a module keeps its weight [in, out].

    B·A is the change of the weight [out, in].
    """
    matrices: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    transposed, start = False, 0
    for edit in edits:
        for one in edit.factors():
            blank = torch.zeros(rank, one.a.shape[1]), torch.zeros(len(one.b), rank)
            a, b = matrices.setdefault(one.module, blank)
            if a.shape[1] != one.a.shape[1] or len(b) != len(one.b):
                raise InputError(f"the edits take {one.parameter} for matrices of different shapes")
            slots = slice(start, start + one.rank)
            a[slots], b[:, slots] = one.a, one.b
            transposed |= one.transposed
        start += edit.rank
    return matrices, transposed
