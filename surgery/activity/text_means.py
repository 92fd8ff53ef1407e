"""What modules read or put out on average: the mean over the tokens of each text, then over texts."""

from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.activity.module_outputs import read_outputs
from surgery.rows.rows import Rows
from surgery.states.batch_budget import BatchBudget
from surgery.states.hidden_states import mean_over_tokens
from surgery.states.text_batches import encode_texts, run_on_texts
from surgery.tokens.encoding import Reading, padding_id


def mean_over_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    homes: Sequence[Rows],
    reading: Reading,
    *,
    inputs: bool = False,
    tokens_per_batch: int | None = None,
    progress: bool = False,
) -> dict[Rows, torch.Tensor]:
    """Of the module of each home, float32 [out] on the CPU; every text counts as much as any other.

    Args:
        texts: n texts; each needs at least one token.
        homes: of the rows whose modules are read.
        reading: how the texts are read.
        inputs: take what the modules read, [in], in place of what they put out.
        tokens_per_batch: budget of a batch, padding counted; None is found from the model and its device.
        progress: show a bar with the time that is left.

    Raises:
        InputError: for a text without tokens; for modules that are not read once for every token, see `read_outputs`.
    """
    encoded = encode_texts(model, tokenizer, texts, reading).ids
    sums: dict[Rows, torch.Tensor] = {}
    for _, pooled in run_on_texts(
        model,
        encoded,
        padding_id(model, tokenizer),
        lambda batch: _pooled(model, batch, homes, inputs),
        BatchBudget.of(model, "hidden_states", tokens_per_batch),
        description="means of modules",
        progress=progress,
    ):
        for home, values in pooled.items():
            sums[home] = sums.get(home, 0.0) + values.double().sum(0)
    return {home: (total / len(texts)).float() for home, total in sums.items()}


def _pooled(
    model: PreTrainedModel, batch: Mapping[str, torch.Tensor], homes: Sequence[Rows], inputs: bool
) -> dict[Rows, torch.Tensor]:
    """The mean over each text's tokens, [b, out] a home."""
    found: dict[Rows, torch.Tensor] = {}

    def keeping(home: Rows) -> Callable[[torch.Tensor], None]:
        def read(values: torch.Tensor) -> None:
            found[home] = mean_over_tokens(values, batch["attention_mask"]).cpu()

        return read

    read_outputs(model, batch, {home: keeping(home) for home in homes}, inputs)
    return found
