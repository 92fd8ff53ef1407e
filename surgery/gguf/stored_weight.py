"""One parameter of a model read from the model's files, without the rest of it."""

from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.files.gguf_file import GgufFile
from surgery.files.safetensors_file import DTYPES, read_tensor
from surgery.gguf.gguf_layout import GgufLayout
from surgery.model.weight_digests import stored_homes


def stored_weight(source: Path | GgufFile, shapes: PreTrainedModel, parameter: str) -> torch.Tensor:
    """The values of one parameter, on the CPU.

    Args:
        source: folder of the model, or its GGUF file.
        shapes: its skeleton (device `meta` will do).
        parameter: its name in `shapes.named_parameters()`.

    Returns:
        In the dtype they are stored in; blocks of a GGUF file unpacked to float32, its rows in the file's order.

    Raises:
        InputError: where the file does not hold it under a known name as plain numbers.
    """
    if isinstance(source, GgufFile):
        return _of_gguf(source, parameter)
    homes = stored_homes(source, shapes)
    if homes is None or homes[parameter][1].dtype not in DTYPES:
        raise InputError(f"'{source}' does not hold {parameter} by this name as plain numbers")
    path, tensor = homes[parameter]
    return torch.frombuffer(read_tensor(path, tensor), dtype=DTYPES[tensor.dtype]).view(tensor.shape)


def _of_gguf(file: GgufFile, parameter: str) -> torch.Tensor:
    name = GgufLayout.of_file(file).tensor(parameter)
    tensor = next((one for one in file.tensors if one.name == name), None)
    if tensor is None:
        raise InputError(f"'{file.path}' holds no {name}")
    kind = GGMLQuantizationType[tensor.kind]
    with open(file.path, "rb", buffering=0) as stream:
        stream.seek(tensor.start)
        data = np.frombuffer(stream.read(tensor.size), np.uint8)
    unpacked = dequantize(data.reshape(*tensor.shape[:-1], -1), kind)
    return torch.from_numpy(np.array(unpacked, np.float32)).view(tensor.shape)
