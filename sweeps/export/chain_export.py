"""A cell's chain of interventions written as one adapter or checkpoint, and held against what was written."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from surgery.changes.factors import Factored
from surgery.edits.changed_checkpoint import require_weights, save_changed_checkpoint
from surgery.edits.edit import Edit
from surgery.edits.intervention import Intervention
from surgery.edits.low_rank import LowRankChange
from surgery.errors import InputError
from surgery.export.adapter import save_adapter
from surgery.export.checkpoint import save_checkpoint
from surgery.export.checkpoint_check import verify_checkpoint
from surgery.files.gguf_file import GgufFile
from surgery.model.loading import load_model
from sweeps.records.chain import applied

VERIFY_PROMPT = "The quick brown fox jumps over the lazy dog."


def _factored(chain: Sequence[Intervention]) -> list[Factored]:
    """Those that are a product of thin matrices: what an adapter carries, and what is written file by file."""
    return [one for one in chain if isinstance(one, Edit | LowRankChange)]


def require_export(chain: Sequence[Intervention], kind: str) -> None:
    """Raises InputError when the chain can't be written as this kind: before anything is fetched."""
    require_weights(chain, {"gguf": "adapter", "gguf-model": "GGUF file"}.get(kind, kind))
    if kind == "adapter" and (others := [one for one in chain if not _factored([one])]):
        names = " and ".join(dict.fromkeys(type(one).__name__ for one in others))
        raise InputError(f"an adapter can't carry this cell ({names}); export it with --as checkpoint")


def save_chain(
    chain: Sequence[Intervention],
    kind: str,
    base_name: str,
    base: GgufFile | Path,
    target: Path,
    *,
    notes: Mapping[str, Any] | None = None,
    force: bool = False,
    verify: bool = False,
) -> None:
    """Writes a chain as one adapter (an edit adds 1 to its rank, a LoRA its own) or one checkpoint.

    Args:
        chain: oldest first.
        kind: `adapter` or `checkpoint`.
        base_name: what the adapter calls its base.
        base: its folder; for an adapter its GGUF file too.
        target: the folder to make.
        notes: kept with an adapter, see `surgery.export.adapter.save_adapter`.
        force: replace a folder that is there.
        verify: compare a checkpoint of edits and LoRAs with base and chain, byte by byte.

    Raises:
        InputError: where the chain can't be written so, or for the wrong base.
    """
    require_export(chain, kind)
    factored = _factored(chain)
    if kind == "adapter":
        save_adapter(factored, target, base=base_name, notes=notes, force=force)
        return
    assert isinstance(base, Path), "only a folder has a checkpoint"
    if len(factored) == len(chain):
        save_checkpoint(factored, base, target, force=force, verify=verify)
    else:
        save_changed_checkpoint(chain, base, target, force=force)


def holds_checkpoint(chain: Sequence[Intervention], base: GgufFile | Path, target: Path) -> bool:
    """Whether a folder is the checkpoint that `save_chain` would write there.

    Only those of edits and LoRAs can be told from their files; of others it is never sure.
    """
    factored = _factored(chain)
    if len(factored) < len(chain) or not isinstance(base, Path):
        return False
    try:
        verify_checkpoint(factored, base, target)
    except InputError:
        return False
    return True


def compare_logits(chain: Sequence[Intervention], base: GgufFile | Path, checkpoint: Path) -> str:
    """Compares a checkpoint with its base under the chain on one prompt, where both fit in memory; says what came out.

    Raises:
        InputError: when their logits are not the same bit for bit.
    """
    import psutil
    import torch

    assert isinstance(base, Path), "only a folder has a checkpoint"
    size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    if 2.5 * size > psutil.virtual_memory().available:
        return f"logits were not compared: two models of {size / 1e9:.1f} GB do not fit in memory"
    logits = []
    for folder in (base, checkpoint):
        model, tokenizer = load_model(str(folder), device="cpu")
        inputs = tokenizer(VERIFY_PROMPT, return_tensors="pt")["input_ids"]
        with torch.no_grad(), applied(chain, model) if folder == base else nullcontext():
            logits.append(model(inputs).logits)
    if not torch.equal(*logits):
        raise InputError(f"'{checkpoint}' gives other logits than its base under the edit; do not use it")
    return "verified: files, tensors and logits are those of the base under the edit"
