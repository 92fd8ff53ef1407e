"""Detoxify's published models and checkpoints in its format, loaded once a process."""

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.inputs.named_files import file_digest, folder_digests
from evaluation.measurements.measurement import JSON
from surgery.errors import InputError

if TYPE_CHECKING:
    from detoxify import Detoxify

VARIANTS = ("original", "unbiased", "multilingual", "original-small", "unbiased-small")
CONFIG = "config.json"


def identity_of(variant: str, checkpoint: str | Path | None, config: str | Path | None) -> JSON:
    """A published model's name, or the content of a checkpoint and of its config folder."""
    if checkpoint is None or config is None:
        return {"variant": variant}
    files: dict[str, JSON] = dict(folder_digests(config).items())
    return {"checkpoint": file_digest(checkpoint), "config": files}


def published_checkpoint(variant: str = "original") -> Path:
    """Where torch keeps a published model once Detoxify has fetched it; it need not be there."""
    from detoxify.detoxify import MODEL_URLS
    from torch.hub import get_dir

    file = str(MODEL_URLS[variant]).rpartition("/")[2]
    return Path(get_dir()) / "checkpoints" / file


def load_detoxify(
    variant: str, checkpoint: str | Path | None, config: str | Path | None, device: str, trust_checkpoint: bool
) -> "Detoxify":
    """The real Detoxify; the same object for the same files and device.

    Raises:
        InputError: when it can't be loaded, or its checkpoint needs trust it was not given.
    """
    if checkpoint is None or config is None:
        return _published(variant, device)
    folder = Path(config).expanduser().resolve()
    contents = (file_digest(checkpoint), *folder_digests(folder).items())
    return _local(Path(checkpoint).expanduser().resolve(), folder, device, trust_checkpoint, contents)


@lru_cache(maxsize=4)
def _published(variant: str, device: str) -> "Detoxify":
    from detoxify import Detoxify

    try:
        return Detoxify(variant, device=device)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"detoxify's variant '{variant}' can't be fetched ({reason}); give a copy with "
            "evaluation.detoxify.checkpoint=FILE and evaluation.detoxify.config=FOLDER, go on with perplexity and "
            "fluency alone with evaluation.judge=none (of evaluation=own), or run once with a network"
        ) from None


@lru_cache(maxsize=4)
def _local(
    checkpoint: Path, folder: Path, device: str, trust_checkpoint: bool, contents: tuple[object, ...]
) -> "Detoxify":
    """`contents` is there for the cache: the same paths with other contents are another scorer."""
    import torch
    from detoxify import Detoxify

    loaded = _read(checkpoint, trust_checkpoint)
    # Detoxify resolves model_type as a hub name even when it has a config folder, and would unpickle the file
    # without limits. So it gets a copy of what was read, with the folder for a name.
    loaded["config"]["arch"]["args"]["model_type"] = str(folder)
    copy = io.BytesIO()
    torch.save({"config": loaded["config"], "state_dict": loaded["state_dict"]}, copy)
    copy.seek(0)
    try:
        detoxify = Detoxify(checkpoint=copy, device=device, huggingface_config_path=str(folder))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"detoxify's checkpoint '{checkpoint}' does not fit the config in '{folder}': {reason}"
        ) from None
    outputs = detoxify.model.config.num_labels
    if outputs != len(detoxify.class_names):
        raise InputError(
            f"detoxify's checkpoint '{checkpoint}' names {len(detoxify.class_names)} classes, "
            f"but the config in '{folder}' has {outputs}; give the folder that belongs to it"
        )
    # Without a limit of its own a tokenizer would let a long text run past the model's positions.
    longest = getattr(detoxify.model.config, "max_position_embeddings", None)
    if longest is not None and detoxify.tokenizer.model_max_length > longest:
        detoxify.tokenizer.model_max_length = longest
    return detoxify


def _read(checkpoint: Path, trust_checkpoint: bool) -> dict[str, Any]:
    """What is in the file, once it is known to be in Detoxify's format."""
    import pickle

    import torch

    try:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not trust_checkpoint:
            raise InputError(
                f"detoxify's checkpoint '{checkpoint}' holds more than tensors and plain values, or is no checkpoint: "
                "reading it could run code; if you trust where it comes from, set trust_checkpoint=true"
            ) from None
        loaded = _read_trusted(checkpoint)
    # What is no pickle at all makes the reader fail anywhere, with anything.
    except Exception as error:
        raise _unreadable(checkpoint, error) from None
    try:
        arguments = loaded["config"]["arch"]["args"]
        names = (arguments["model_name"], arguments["tokenizer_name"], arguments["num_classes"])
        classes = loaded["config"]["dataset"]["args"]["classes"]
        known = all(isinstance(name, str) for name in names[:2]) and bool(classes)
    except (KeyError, TypeError, IndexError):
        known = False
    if not known or "state_dict" not in loaded:
        raise InputError(
            f"detoxify's checkpoint '{checkpoint}' is not in Detoxify's format: it needs state_dict, and config with "
            "arch.args (model_type, model_name, tokenizer_name, num_classes) and dataset.args.classes"
        )
    return dict(loaded)


def _read_trusted(checkpoint: Path) -> Any:
    import torch

    try:
        return torch.load(checkpoint, map_location="cpu", weights_only=False)
    # Unpickling trusted code can raise anything.
    except Exception as error:
        raise _unreadable(checkpoint, error) from None


def _unreadable(checkpoint: Path, error: Exception) -> InputError:
    reason = f"{type(error).__name__} {error}".strip().splitlines()[0]
    return InputError(
        f"detoxify's checkpoint '{checkpoint}' can't be read by torch ({reason}); give a file in Detoxify's format"
    )
