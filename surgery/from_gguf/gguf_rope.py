"""How a model scales its rotary positions, which transformers leaves out when it reads most GGUF files.

Without it a model of the Llama 3.1 kind would run, a little worse, and nothing would say so.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PretrainedConfig

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile

FREQUENCIES = "rope_freqs.weight"
# Every Llama of 3.1 and later has these; its factor is 8 or 32.
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}


def restore_rope(config: PretrainedConfig, file: GgufFile, told: str) -> None:
    """Puts what the file says of scaled positions into a config.

    Raises:
        InputError: for a scaling that this does not know.
    """
    scaling = _scaling(config, file, told)
    if scaling is None:
        return
    current: dict[str, Any] = config.rope_parameters
    # Gemma 3 has two: positions are scaled in the layers that see everything.
    place = current.get("full_attention", current)
    if place.get("rope_type", "default") == "default":
        place.update(scaling)


def _scaling(config: PretrainedConfig, file: GgufFile, told: str) -> dict[str, Any] | None:
    kind, factor = file.setting("rope.scaling.type"), file.setting("rope.scaling.factor")
    unknown = InputError(
        f"{told} scales its positions in a way that can't be read from GGUF here "
        f"({kind or 'factors of its own'}); give the model's own folder or hub name"
    )
    names = file.kinds.keys()
    if any("rope_factors" in name for name in names) or kind not in (None, "none", "linear", "yarn"):
        raise unknown
    if FREQUENCIES in names:
        found = _llama3_factor(config, file)
        if found is None:
            raise unknown
        return {"rope_type": "llama3", "factor": found, **LLAMA3}
    if kind in (None, "none") or factor in (None, 1.0):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    trained = file.setting("rope.scaling.original_context_length")
    if trained is None or file.setting("rope.scaling.attn_factor") not in (None, 1.0):
        raise unknown
    return {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": trained}


def _llama3_factor(config: PretrainedConfig, file: GgufFile) -> float | None:
    """The factor that gives the file's own divisors of the frequencies; None where no such formula does."""
    stored = next(tensor for tensor in file.tensors if tensor.name == FREQUENCIES)
    with open(file.path, "rb") as opened:
        opened.seek(stored.start)
        divisors = np.frombuffer(opened.read(stored.size), "<f4") if stored.kind == "F32" else np.empty(0)
    base = config.rope_parameters.get("rope_theta")
    if base is None or not len(divisors):
        return None
    factor = float(divisors.max())
    fitting = divisors.shape == (config.head_dim // 2,) and np.allclose(
        divisors, llama3_divisors(base, config.head_dim, factor), rtol=1e-4
    )
    return factor if fitting else None


def llama3_divisors(base: float, head_size: int, factor: float, trained: int = 8192) -> npt.NDArray[np.float32]:
    """What each frequency is divided by: 1 for short waves, `factor` for long ones, between them something between.

    Args:
        base: theta.
        head_size: numbers of a head; half as many frequencies.
        factor: of long waves.
        trained: the length it was trained at first.

    Returns:
        float32 [head_size / 2].
    """
    low, high = LLAMA3["low_freq_factor"], LLAMA3["high_freq_factor"]
    waves = 2 * math.pi * base ** (np.arange(0, head_size, 2) / head_size)
    smooth = np.clip((trained / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
