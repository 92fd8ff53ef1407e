"""A model's linear layers, whatever they are called."""

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Linear | Conv1D]:
    """{name: layer} of every linear layer but the head, in the order of the modules.

    Experts in one tensor are no linear layers. A `Conv1D`, of GPT-2, keeps its matrix transposed.
    """
    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
