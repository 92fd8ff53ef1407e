"""What the modules that hold given rows read or put out in a forward pass."""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from transformers import PreTrainedModel

from surgery.errors import InputError
from surgery.rows.locator import decoder
from surgery.rows.rows import Rows


def module_of(model: PreTrainedModel, home: Rows) -> nn.Module:
    """The linear layer whose matrix the rows lie in, so that its output has an entry for each of them.

    Raises:
        InputError: where they lie in a tensor of experts, or in another module's own parameter.
    """
    require_module_output(home)
    owner, _, leaf = home.parameter.rpartition(".")
    module = model.get_submodule(owner)
    if leaf != "weight" or not isinstance(module, nn.Linear):
        raise InputError(
            f"{home.parameter} is no linear layer of its own ({type(module).__name__}), so what it puts out can't be "
            "read"
        )
    return module


def require_module_output(home: Rows) -> None:
    """What can be said without the model; raises InputError for rows in a tensor of experts."""
    if len(home.shape) != 2:
        raise InputError(
            f"{home.parameter} holds {home.experts} experts in one tensor, and no module puts out what one of them "
            "computes for a token; choose a model whose MLPs are not mixtures"
        )


def read_outputs(
    model: PreTrainedModel,
    inputs: Mapping[str, torch.Tensor],
    readers: Mapping[Rows, Callable[[torch.Tensor], None]],
    of_inputs: bool = False,
) -> None:
    """One forward pass of the decoder; each reader is given what the layer of its rows puts out, [b, t, out].

    Args:
        inputs: `input_ids` and `attention_mask`, each [b, t].
        readers: by the home of the rows, see `module_of`.
        of_inputs: give the readers what the layer reads, [b, t, in].

    Raises:
        InputError: see `module_of`; or where a layer is not called just once with every token, as those of routed
            experts are not.
    """
    batch, tokens = inputs["input_ids"].shape
    calls = dict.fromkeys(readers, 0)

    def after(home: Rows) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            calls[home] += 1
            # Mixtures give their shared expert all tokens in one row.
            if output.shape[-1] != home.shape[0] or output[..., 0].numel() != batch * tokens:
                raise _not_every_token(home)
            readers[home]((args[0] if of_inputs else output).reshape(batch, tokens, -1))

        return hook

    modules = {home: module_of(model, home) for home in readers}
    handles = [module.register_forward_hook(after(home)) for home, module in modules.items()]
    try:
        decoder(model)(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    for home, count in calls.items():
        if count != 1:
            raise _not_every_token(home)


def _not_every_token(home: Rows) -> InputError:
    return InputError(
        f"{home.parameter} is not applied once to every token, so what it puts out can't be told by token"
    )
