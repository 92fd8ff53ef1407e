"""Pooled hidden states of texts: what a behavior probe is trained on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict, Unpack

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from surgery.errors import InputError
from surgery.files.whole_files import sha256_of_parts
from surgery.model.fingerprints import fingerprint
from surgery.rows.locator import decoder, decoder_blocks
from surgery.states.batch_budget import BatchBudget
from surgery.states.pooled_tokens import POOLING, Pooling, pooled_tokens, require_pooling
from surgery.states.text_batches import encode_texts, reading_of_texts, run_on_texts
from surgery.tokens.encoding import padding_id


class HiddenStates(Mapping[int, torch.Tensor]):
    """Pooled features [n, d], float32 on the CPU, for each asked layer: `states[layer]`.

    Attributes:
        model_fingerprint: of the model that made them.
        texts_fingerprint: of the texts as they were shown, their order and the token limit.
        shown: the texts as the model was shown them: in the chat template where that was asked for, and cut.
        pooling: which tokens' states were averaged, see `surgery.states.pooled_tokens`.
        batches: the tokens a batch held at most, and how often that was halved because memory ran out.
    """

    def __init__(
        self,
        features: Mapping[int, torch.Tensor],
        model_fingerprint: str,
        texts_fingerprint: str,
        batches: Mapping[str, str | int],
        shown: Sequence[str] = (),
        pooling: Pooling = POOLING,
    ) -> None:
        self._features = dict(features)
        self.model_fingerprint = model_fingerprint
        self.texts_fingerprint = texts_fingerprint
        self.pooling = pooling
        self.batches = dict(batches)
        self.shown = tuple(shown)

    def __getitem__(self, layer: int) -> torch.Tensor:
        return self._features[layer]

    def __iter__(self) -> Iterator[int]:
        return iter(self._features)

    def __len__(self) -> int:
        return len(self._features)


class StatesOptions(TypedDict, total=False):
    """How `collect_hidden_states` reads texts.

    Attributes:
        max_length: longest text in tokens, which loses its end beyond that; 100 as in the paper (Table 14).
        chat: put each text into the tokenizer's chat template, as a user's turn; the template counts as tokens, and
            stays whole where a text is cut. By default without.
        pooling: over which tokens; `mean`, all of them, as in the paper. See `surgery.states.pooled_tokens`.
        tokens_per_batch: budget of a batch, padding counted; by default found from the model and its device.
        progress: show a bar with the time that is left; by default none.
    """

    max_length: int
    chat: bool
    pooling: Pooling
    tokens_per_batch: int | None
    progress: bool


class _HighestLayerReached(Exception):
    """Stops a forward pass: nothing above the highest asked layer is needed."""


def mean_over_tokens(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over unmasked tokens, in float32: states [b, t, d], mask [b, t] of 0 and 1 → [b, d]."""
    weights = mask.to(states.device, torch.float32).unsqueeze(-1)
    return (states.float() * weights).sum(1) / weights.sum(1)


def pooled_batch(
    model: PreTrainedModel, inputs: Mapping[str, torch.Tensor], layers: Sequence[int], pooling: Pooling = POOLING
) -> dict[int, torch.Tensor]:
    """One forward pass, pooled at each asked layer as soon as its block has run: {layer: [b, d]}."""
    blocks = decoder_blocks(model)
    depth, highest, mask = len(blocks), max(layers), pooled_tokens(inputs["attention_mask"], pooling)
    pooled: dict[int, torch.Tensor] = {}

    def after(layer: int) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
            pooled[layer] = mean_over_tokens(output if isinstance(output, torch.Tensor) else output[0], mask).cpu()
            if layer == highest:
                raise _HighestLayerReached

        return hook

    handles = [blocks[layer - 1].register_forward_hook(after(layer)) for layer in layers if layer < depth]
    try:
        # The decoder without its language-model head; its last state is taken after the final norm.
        output = decoder(model)(**inputs, use_cache=False)
    except _HighestLayerReached:
        return pooled
    finally:
        for handle in handles:
            handle.remove()
    return pooled | {depth: mean_over_tokens(output.last_hidden_state, mask).cpu()}


def collect_hidden_states(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    layers: Sequence[int],
    **options: Unpack[StatesOptions],
) -> HiddenStates:
    """Mean over tokens of the hidden states after the asked layers (the x̄ of Section 3.1).

    One forward pass a batch serves all layers and stops after the highest. Texts are sorted by length and
    packed by a token budget; when a batch does not fit in memory the budget is halved, without redoing finished ones.

    Args:
        texts: n texts; each needs at least one token.
        layers: 1..L. Layer L is taken after the final norm, as in the reference implementation.
        options: how texts are read, and in which batches.

    Returns:
        {layer: float32 [n, d]} in the order of `texts`.

    Raises:
        InputError: for no texts, a text without tokens, a layer outside 1..L, or an unknown pooling; when the chat
            template can't be used or leaves no room; for a token that the model has no embedding of.
    """
    max_length, pooling = options.get("max_length", 100), options.get("pooling", POOLING)
    require_pooling(pooling)
    depth = len(decoder_blocks(model))
    wrong = [layer for layer in layers if not 1 <= layer <= depth]
    if wrong or not layers:
        raise InputError(f"layer {wrong[0] if wrong else '(none)'} is not in this model: its layers are 1 to {depth}")
    if not texts:
        raise InputError("there are no texts to take hidden states of")
    encoded = encode_texts(model, tokenizer, texts, reading_of_texts(model, max_length, options.get("chat", False)))
    wanted = sorted(set(layers))
    budget = BatchBudget.of(model, "hidden_states", options.get("tokens_per_batch"))
    features: dict[int, torch.Tensor] = {}
    for indices, pooled in run_on_texts(
        model,
        encoded.ids,
        padding_id(model, tokenizer),
        lambda inputs: pooled_batch(model, inputs, wanted, pooling),
        budget,
        description="hidden states",
        progress=options.get("progress", False),
    ):
        for layer, values in pooled.items():
            features.setdefault(layer, torch.empty(len(texts), values.shape[1]))[indices] = values
    texts_fingerprint = sha256_of_parts([str(max_length), *encoded.shown])
    return HiddenStates(features, fingerprint(model), texts_fingerprint, budget.notes(), encoded.shown, pooling)
