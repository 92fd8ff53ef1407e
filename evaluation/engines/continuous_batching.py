"""Greedy answers by transformers' continuous batching: a prompt takes the place of an answer as soon as that has ended.

With static batching a batch is padded to its longest prompt and goes on until its longest answer has ended. Here all
tokens of a step lie in one row, each sees those of its own prompt alone, and keys and values lie in pages.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from math import ceil
from time import sleep
from typing import TYPE_CHECKING

from evaluation.inputs.isolation import quiet
from evaluation.inputs.model_input import evaluation_mode, padded
from evaluation.position_logits import position_logits
from surgery.errors import InputError, foreign_errors
from surgery.rows.locator import decoder

if TYPE_CHECKING:
    from transformers import ContinuousBatchingConfig, ContinuousBatchingManager, GenerationConfig, PreTrainedModel

# Tokens of a page of keys and values. What prompts have in common at their beginning is computed once, in whole pages.
PAGE = 32
# Tokens of a step: prompts are read in pieces of so many, beside the answers that go on.
STEP = 512
# On a CPU each token is held against the keys of all answers of its step, its own or not: of more keys than these that
# costs more than the layers do. Fewer answers than these leave the cores waiting for the weights.
KEYS_ON_A_CPU, LEAST_ON_A_CPU = 4096, 4
# transformers admits no further prompt while less than this share of the pages is free.
FREE = 0.15
# Most answers that are read again, see `_require_likeliest`; and how far a token's logit may be below the highest, by
# the bytes of a number: of two that tie, rounding decides.
READ_AGAIN = 4
TIE: Mapping[int, float] = {2: 0.5, 4: 1e-2, 8: 1e-6}

_CAN_NOT = "which transformers' continuous batching can't do; say engine.batching=static"
_ATTENTION = ("full_attention", "sliding_attention")


def require_batchable(model: "PreTrainedModel") -> None:
    """Raises InputError for a model that can't answer in this way, as far as its class and config tell.

    Args:
        model: without its weights, too.
    """
    config = model.config.get_text_config()
    others = [kind for kind in getattr(config, "layer_types", None) or () if kind not in _ATTENTION]
    told = {
        "reads prompts by an encoder": model.config.is_encoder_decoder,
        f"has layers of {''.join(others[:1])}": others,
        "keeps a state beside keys and values": getattr(model, "_is_stateful", False),
        "keeps keys and values compressed": getattr(config, "kv_lora_rank", None),
        "has an attention of its own": not getattr(model, "_supports_attention_backend", False),
    }
    if found := [reason for reason, holds in told.items() if holds]:
        raise InputError(f"{type(model).__name__} {found[0]}, {_CAN_NOT}")


def continued(
    model: "PreTrainedModel",
    rows: Sequence[list[int]],
    settings: "GenerationConfig",
    at_once: int,
    stops: Callable[[list[int]], bool] | None = None,
    told: Callable[[int], object] = lambda ended: None,
) -> list[list[int]]:
    """Token ids of the greedy continuation of each prompt, up to its first end token, which is among them.

    The same every time: what a step holds depends on the prompts and their answers alone. Some answers are read again
    in one pass, since a model that can't be run in this way may answer nonsense and say nothing.

    Args:
        model: as it is now, under an edit or not; its attention, mode and generation settings are left as they were.
        rows: token ids of each prompt, none empty.
        settings: `max_new_tokens` and `eos_token_id` count.
        at_once: most answers of a step.
        stops: whether an answer so far is enough.
        told: how many answers have ended, as they do.

    Raises:
        InputError: for a model that can't answer in this way, or whose answers are not those of one pass.
        torch.OutOfMemoryError, RuntimeError or MemoryError: when memory runs out.
    """
    require_batchable(model)
    _require_whole(model)
    if not rows:
        return []
    if model.device.type == "cpu":
        longest = max(map(len, rows)) + int(settings.max_new_tokens or 0)
        at_once = min(at_once, max(LEAST_ON_A_CPU, KEYS_ON_A_CPU // longest))
    attention = model.config._attn_implementation
    try:
        with evaluation_mode(model), quiet(progress=True):
            made = _generated(model, rows, deepcopy(settings), at_once, stops, told)
            _require_likeliest(model, rows, made, min(at_once, READ_AGAIN))
            return made
    finally:
        # transformers puts it back only where generation was started.
        if model.config._attn_implementation != attention:
            model.set_attn_implementation(attention)


def _generated(
    model: "PreTrainedModel",
    rows: Sequence[list[int]],
    settings: "GenerationConfig",
    at_once: int,
    stops: Callable[[list[int]], bool] | None,
    told: Callable[[int], object],
) -> list[list[int]]:
    import torch

    made: dict[int, list[int]] = {}
    going = set(range(len(rows)))

    def collect(*_: object) -> None:
        # Called by the thread that generates, at the beginning of each step: so an answer that is enough is always
        # told of at the same step, whatever else runs.
        while (output := manager.get_result(timeout=0)) is not None:
            place = int(output.request_id)
            if place not in going:
                continue
            made[place] = output.generated_tokens
            if output.error is not None:
                raise RuntimeError(output.error)
            enough = stops is not None and stops(output.generated_tokens)
            if enough and not output.is_finished():
                manager.cancel_request(output.request_id)
            if enough or output.is_finished():
                going.remove(place)
                told(1)

    can_not = f"{type(model).__name__} can't answer by transformers' continuous batching (say engine.batching=static)"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), foreign_errors(can_not):
        pages = _pages(rows, int(settings.max_new_tokens or 0), at_once)
        manager: ContinuousBatchingManager = model.init_continuous_batching(settings, pages)  # type: ignore[operator]
        if manager.logit_processor.do_processing:
            raise InputError(f"the generation settings of {type(model).__name__} change its logits, {_CAN_NOT}")
        # Prompts that begin in the same way come one after another.
        for place in sorted(range(len(rows)), key=rows.__getitem__, reverse=True):
            manager.add_request(rows[place], str(place), streaming=stops is not None)
        hook = model.register_forward_pre_hook(collect)
        try:
            manager.start()
            _wait_for(manager)
        finally:
            hook.remove()
        if manager.background_thread_status.fatal_error is not None:
            raise manager.background_thread_status.fatal_error
        collect()
    assert not going, "every prompt is answered"
    return [made[place] for place in range(len(rows))]


def _wait_for(manager: "ContinuousBatchingManager") -> None:
    """Waits until all has been answered; after Ctrl-C until the step that goes on has ended."""
    try:
        manager.stop()
    except BaseException:
        # A join that was interrupted takes the thread for ended (CPython 3.11), so it is asked itself.
        status = manager.background_thread_status
        status.request_stop(status.HARD_STOP, 0)
        while status.local_status != status.STOPPED:
            sleep(0.01)
        manager.stop(hard_stop=True)
        raise


def _pages(rows: Sequence[list[int]], most_new: int, at_once: int) -> "ContinuousBatchingConfig":
    """Room for so many of the longest answers, so that none is put off; attention as the model has it."""
    from transformers import ContinuousBatchingConfig

    pages = ceil((max(map(len, rows)) + most_new) / PAGE)
    return ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=ceil(at_once * pages / (1 - FREE)) + 1,
        max_batch_tokens=STEP,
        max_requests_per_batch=at_once,
        safety_margin=FREE,
        use_cuda_graph=False,
        use_async_batching=False,
        # Kernels of others would be fetched, and give other numbers.
        auto_switch_to_flash=False,
        drop_unsupported_processors=False,
        seed=0,
    )


def _require_whole(model: "PreTrainedModel") -> None:
    """Raises InputError where a step is not all that the model's own layers do on one device."""
    if "forward" in vars(decoder(model)) or len({weight.device for weight in model.parameters()}) > 1:
        raise InputError(f"{type(model).__name__} is decoded in contrast, or lies on several devices, {_CAN_NOT}")


def _require_likeliest(
    model: "PreTrainedModel", rows: Sequence[list[int]], made: Sequence[list[int]], count: int
) -> None:
    """Raises InputError unless each token of some answers, of the longest texts, is the likeliest at its place."""
    import torch

    texts = [row + new for row, new in zip(rows, made, strict=True)]
    places = sorted(range(len(rows)), key=lambda place: -len(texts[place]))[:count]
    sizes = [len(made[place]) for place in places]
    inputs = padded(model, [texts[place] for place in places], "right", pad=0)
    columns = torch.cat([torch.arange(len(made[place])) + len(rows[place]) - 1 for place in places])
    tokens, done = torch.tensor([token for place in places for token in made[place]]), 0
    for logits in position_logits(model, inputs, torch.repeat_interleave(torch.tensor(sizes)), columns):
        chosen = logits.gather(1, tokens[done : done + len(logits), None].to(logits.device))
        done += len(logits)
        if (logits.max(1, keepdim=True).values - chosen).max() > TIE[model.dtype.itemsize]:
            raise InputError(
                f"{type(model).__name__} answers otherwise by transformers' continuous batching than in one pass over "
                "the same tokens; say engine.batching=static"
            )
