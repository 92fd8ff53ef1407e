"""A second model over the same weights."""

from copy import deepcopy

from transformers import PreTrainedModel


def shared_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A model of its own modules, hooks, config and generation settings, whose parameters and buffers are the model's.

    What a library puts on it, such as adapters, hooks or another `forward`, the model itself never sees; a weight that
    is changed in place is changed in both.
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return deepcopy(model, shared)
