"""An edit as a PEFT LoRA adapter: each matrix's change is mask ⊗ vector, rank 1, so nothing is approximated."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from surgery.edit import Edit
from surgery.errors import InputError
from surgery.fingerprints import chain_fingerprint
from surgery.new_folder import folder_written_whole
from surgery.rows import Rows

FORMAT = "surgery.adapter/1"
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def save_adapter(edits: Sequence[Edit], path: str | Path, *, base: str | None = None, force: bool = False) -> None:
    """Writes a folder that `PeftModel.from_pretrained(base_model, path)` loads: a config and one safetensors file.

    Merged, one edit gives the very weights of `Edit.applied_to` in any dtype. Unmerged, logits agree to 1e-5 of
    their size in float32; in 16 bits to that dtype's precision, since the edited rows are then not rounded.
    Stacked edits make an adapter of rank n, their number, for every edited matrix; slot i is edit i, zero where it
    leaves the matrix alone. One side holds alpha·direction, the other a mask of zeros and ones, exact in every dtype.
    vLLM can read it: one r and lora_alpha for all modules (it ignores rank_pattern and alpha_pattern) with scaling 1,
    whole module names, lora_A and lora_B alone, no bias, no modules_to_save, no DoRA. Its max_lora_rank (1, 8, 16,
    32, … 512; 16 unless told otherwise) must be at least n.

    Args:
        edits: oldest first, all for one base; one may have been ranked in the base with those before it applied.
        path: the folder to make; it is written whole or not at all.
        base: hub name or folder of the base model, noted in the config so that tools can find it.
        force: replace an adapter that is there.

    Raises:
        InputError: for no edits, edits of different bases, an edit of experts in one tensor or one that is not finite;
            for a path that is there (without `force`), holds something else than an adapter, or can't be written.
    """
    edits = tuple(edits)
    _require_one_base(edits)
    matrices = _matrices(edits)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        "r": len(edits),
        "lora_alpha": len(edits),
        "lora_dropout": 0.0,
        "target_modules": list(matrices),
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "use_rslora": False,
        "use_dora": False,
    }
    tensors = {}
    for module, (a, b) in matrices.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = a
        tensors[f"base_model.model.{module}.lora_B.weight"] = b
    origin = {
        "format": FORMAT,
        "base_fingerprint": edits[0].base_fingerprint,
        "edit_fingerprints": [edit.fingerprint for edit in edits],
    }
    with folder_written_whole(Path(os.path.abspath(path)), CONFIG_FILE, "adapter", force) as folder:
        # "pt" is what the loaders of other libraries expect to find there.
        save_file(tensors, folder / WEIGHTS_FILE, {"format": "pt", "surgery": json.dumps(origin)})
        (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _require_one_base(edits: Sequence[Edit]) -> None:
    if not edits:
        raise InputError("an adapter holds at least one edit, and none was given")
    base = edits[0].base_fingerprint
    for position, edit in enumerate(edits):
        stacked = chain_fingerprint(base, [before.fingerprint for before in edits[:position]])
        if edit.base_fingerprint not in (base, stacked):
            raise InputError(
                f"edit {position + 1} was made for model {edit.base_fingerprint}, but the first for {base}; "
                "one adapter holds edits of one base, oldest first"
            )


def _module(home: Rows) -> str:
    """The module that owns the parameter, as PEFT names it."""
    if len(home.shape) != 2 or not home.parameter.endswith(".weight"):
        raise InputError(
            f"the rows of layer {home.layer} are in {home.parameter} {list(home.shape)}, which is no module's matrix, "
            "so a LoRA adapter can't carry them; export a checkpoint instead"
        )
    return home.parameter.removesuffix(".weight")


def _matrices(edits: Sequence[Edit]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """{module: (A [n, in], B [out, n])}, float32, none sharing memory; B·A is the change of the weight [out, in]."""
    matrices: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for slot, edit in enumerate(edits):
        vector = edit.vector.cpu()
        if not vector.isfinite().all():
            raise InputError(f"alpha={edit.alpha} makes the added vector infinite in float32; take a smaller alpha")
        for home, rows in edit.region.parts():
            module = _module(home)
            blank = torch.zeros(len(edits), home.shape[1]), torch.zeros(home.shape[0], len(edits))
            if vector.numel() != home.width:
                raise InputError(
                    f"the direction has {vector.numel()} entries, but {home.parameter} has shape {list(home.shape)}"
                )
            a, b = matrices.setdefault(module, blank)
            mask = torch.zeros(home.shape[home.axis])
            mask[home.start + home.step * rows.cpu()] = 1
            b[:, slot], a[slot] = (mask, vector) if home.axis == 0 else (vector, mask)
    return matrices
