"""What a chat template can be asked for, tried before a model is loaded; and whether a model was made for it."""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from surgery.tokens.chat import TRIALS, in_chat_template, render
from surgery.tokens.framing import Framing, set_framing
from surgery.tokens.thinking import Thinking

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SYSTEMS = ("Answer as a lighthouse keeper would.", "Answer as a swallow would.")
_KEY = "model.chat"


def require_framing(tokenizer: "PreTrainedTokenizerBase", framing: Framing, system: str = "model.system") -> None:
    """Raises InputError for a system prompt, or a way with thoughts, that the chat template has no place for.

    Args:
        system: the setting that holds the system prompt, for errors.
    """
    if framing.system is not None:
        _require_system(tokenizer, system)
    if framing.thinking is not None and framing.thinking.mode == "strip":
        _require_marks(tokenizer, framing.thinking)
    elif framing.thinking is not None and framing.thinking.empty is None:
        _require_off(tokenizer, framing.thinking)


def ends_turns(tokenizer: "PreTrainedTokenizerBase", ends: Collection[int]) -> bool | None:
    """Whether a model ends its texts with what its chat template ends the model's turns with.

    A model that was trained on the template does; a base model that comes with one goes on to something else.

    Args:
        ends: the token ids at which the model stops.

    Returns:
        None where it can't be told: without a usable template, or one that ends turns with no token of their own.
    """
    question, answer = TRIALS
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    try:
        _, found, after = _plainly(tokenizer, turns).rpartition(answer)
    except InputError:
        return None
    ids: list[int] = tokenizer(after, add_special_tokens=False, verbose=False)["input_ids"] if found and after else []
    special = [one for one in ids if one in tokenizer.all_special_ids or one in tokenizer.added_tokens_decoder]
    return any(one in ends for one in special) if special else None


def _require_system(tokenizer: "PreTrainedTokenizerBase", key: str) -> None:
    turn = {"role": "user", "content": TRIALS[0]}
    try:
        one, other = (_plainly(tokenizer, [{"role": "system", "content": said}, turn]) for said in _SYSTEMS)
    except InputError as error:
        wrong = _without_advice(error)
        raise InputError(f"{key} is given, but with it {wrong}; leave {key} out") from None
    if one == other:
        raise InputError(
            f"{key} is given, but the tokenizer's chat template leaves a system prompt out; leave it out too, or "
            "fix the template"
        )


def _require_marks(tokenizer: "PreTrainedTokenizerBase", thinking: Thinking) -> None:
    template = tokenizer.chat_template
    templates = list(template.values()) if isinstance(template, Mapping) else [template]
    known = thinking.end in tokenizer.get_vocab() or any(thinking.end in str(one) for one in templates)
    if not known:
        raise InputError(
            f"model.thinking=strip, but neither the chat template nor the tokenizer knows {thinking.end!r}, so this "
            "model marks no thoughts, or others: say model.thinking=keep, or how it ends them with model.thought.end"
        )


def _require_off(tokenizer: "PreTrainedTokenizerBase", thinking: Thinking) -> None:
    # A switch is turned the other way; of other arguments their absence is the other way.
    other = {name: not value for name, value in thinking.arguments.items() if isinstance(value, bool)}
    shown = []
    for arguments in (thinking.arguments, other):
        framed = _framed(tokenizer, Framing(thinking=replace(thinking, arguments=arguments)))
        shown.append(in_chat_template(framed, TRIALS[:1], answer_follows=True, key=_KEY))
    if shown[0] == shown[1]:
        asked = ", ".join(f"{name}={str(value).lower()}" for name, value in thinking.arguments.items())
        raise InputError(
            f"model.thinking=off, but the chat template knows no {asked}; say model.thinking=keep, or how this model "
            "is asked for no thought, with model.thought.arguments or model.thought.empty"
        )


def _plainly(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[Mapping[str, str]]) -> str:
    """A conversation in the template alone, whatever else the tokenizer gives it."""
    return render(_framed(tokenizer, Framing()), turns, key=_KEY)


def _framed(tokenizer: "PreTrainedTokenizerBase", framing: Framing) -> Any:
    """The same tokenizer, whose template is given something else."""
    made = copy.copy(tokenizer)
    set_framing(made, framing)
    return made


def _without_advice(error: InputError) -> str:
    """What a rendering error says is wrong, without what it says to do."""
    return str(error).partition(", but ")[2].partition(";")[0]
