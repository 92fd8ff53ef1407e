"""Texts as a chat model sees them: put into its tokenizer's template, on a day that does not pass."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from surgery.tokens.framing import framing_of
from surgery.tokens.thinking import Thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The day that Llama 3's own templates name where they are given none.
DEFAULT_DATE = "2024-07-26"
# Variables that templates take a day from; what writes it in words is read by Llama, the others are plain.
DATE_VARIABLES = {
    "date_string": "%d %b %Y",
    **dict.fromkeys(("date", "today", "current_date", "currentDate", "today_date", "todays_date"), "%Y-%m-%d"),
}
# What stands between % and a letter in strftime, and the letters.
_FLAGS, _LETTERS = ("", "-", "_", "0", "^", "#", "E", "O"), "aAbBcCdDeFgGhHIjklmMnpPrRStTuUVwWxXyYzZ+"
# Where a tokenizer keeps the date, so that copies of it have it too.
_DATE = "rendered_on"
# Two texts that no template has a reason to refuse or to write alike.
TRIALS = ("What is a lighthouse?", "Where do swallows go in winter?")


def require_date(value: str) -> str:
    """The date, when it is one; raises ValueError."""
    try:
        if datetime.strptime(value, "%Y-%m-%d").strftime("%Y-%m-%d") == value:
            return value
    except ValueError:
        pass
    raise ValueError(f"it is a date written as YEAR-MONTH-DAY, such as {DEFAULT_DATE}")


def set_date(tokenizer: "PreTrainedTokenizerBase", date: str) -> None:
    """Fixes the day that this tokenizer's chat template is rendered on; raises InputError for what is no date."""
    try:
        setattr(tokenizer, _DATE, require_date(date))
    except ValueError as error:
        raise InputError(f"date={date} is not possible: {error}") from None


def date_of(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The day that this tokenizer's chat template is rendered on."""
    return str(getattr(tokenizer, _DATE, DEFAULT_DATE))


def render(
    tokenizer: "PreTrainedTokenizerBase",
    turns: Sequence[Mapping[str, str]],
    *,
    answer_follows: bool = False,
    last_goes_on: bool = False,
    key: str = "chat",
) -> str:
    """A conversation in the tokenizer's chat template: the same whenever and wherever it is rendered.

    Clocks stand at midnight of the tokenizer's date (`set_date`), and what a template draws by chance it draws alike
    each time. A system prompt and how thoughts are asked for are the tokenizer's too (`set_framing`).

    Args:
        turns: each with `role` and `content`.
        answer_follows: end with what begins the model's answer.
        last_goes_on: end within the last turn, which the model is to go on with.
        key: the setting that asks for the template, for errors.

    Raises:
        InputError: when there is no template, or none of several is the default; when it can't be read, or refuses.
    """
    date, framing = date_of(tokenizer), framing_of(tokenizer)
    arguments = framing.thinking.template_arguments() if framing.thinking else {}
    with _seeded():
        try:
            template = _template(tokenizer, key)
            rendered = str(
                tokenizer.apply_chat_template(
                    [dict(turn) for turn in _with_system(turns, framing.system)],
                    chat_template=_clock(date) + template,
                    add_generation_prompt=answer_follows,
                    continue_final_message=last_goes_on,
                    tokenize=False,
                    **_dates(date),
                    **arguments,
                )
            )
            return rendered + (framing.thinking.begun(rendered) if framing.thinking and answer_follows else "")
        except InputError:
            raise
        except Exception as error:  # a template is a program: it may fail in any way
            reason = _reason(error)
    raise InputError(f"{key}=true, but the tokenizer's chat template {reason}; fix the template, or say {key}=false")


def _with_system(turns: Sequence[Mapping[str, str]], system: str | None) -> list[Mapping[str, str]]:
    own = system is None or (bool(turns) and turns[0].get("role") == "system")
    return [*turns] if own else [{"role": "system", "content": str(system)}, *turns]


def _reason(error: Exception) -> str:
    from jinja2 import TemplateSyntaxError

    if isinstance(error, TemplateSyntaxError):
        # The clock is the first line.
        return f"can't be read: {error.message} (line {error.lineno - 1})"
    return f"refuses: {next(iter(str(error).strip().splitlines()), type(error).__name__)}"


def in_chat_template(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], *, answer_follows: bool = False, key: str = "chat"
) -> list[str]:
    """Each text as a user's turn in the tokenizer's chat template; special tokens are written out in it.

    Raises:
        InputError: see `render`.
    """
    return [
        render(tokenizer, [{"role": "user", "content": text}], answer_follows=answer_follows, key=key) for text in texts
    ]


def require_template(tokenizer: "PreTrainedTokenizerBase", *, answer_follows: bool = False, key: str = "chat") -> None:
    """Raises InputError when texts can't be put into the chat template, or get lost in it."""
    one, other = in_chat_template(tokenizer, TRIALS, answer_follows=answer_follows, key=key)
    if one == other:
        raise InputError(
            f"{key}=true, but the tokenizer's chat template leaves out what the user says (it may want messages of "
            f"another form); fix the template, or say {key}=false"
        )


def thoughts_of(tokenizer: "PreTrainedTokenizerBase", chat: bool = True) -> Thoughts | None:
    """What parts thoughts from answers; None where answers are taken as they are.

    Args:
        chat: whether prompts go through the chat template; without it there are no thoughts.

    Raises:
        InputError: see `render`.
    """
    thinking = framing_of(tokenizer).thinking
    if not chat or thinking is None or thinking.mode != "strip":
        return None
    [prompt] = in_chat_template(tokenizer, TRIALS[:1], answer_follows=True, key="model.chat")
    return Thoughts(tokenizer, thinking, opened=prompt.rstrip().endswith(thinking.begin))


def _template(tokenizer: "PreTrainedTokenizerBase", key: str) -> str:
    found = tokenizer.chat_template
    if not found:
        raise InputError(f"{key}=true, but this model's tokenizer has no chat template; use {key}=false")
    if isinstance(found, dict) and "default" not in found:
        raise InputError(
            f"{key}=true, but this model's tokenizer has several chat templates ({', '.join(sorted(found))}) and none "
            f"is called default; rename the one to use, or say {key}=false"
        )
    return str(tokenizer.get_chat_template())


def _dates(date: str) -> dict[str, Any]:
    day = datetime.strptime(date, "%Y-%m-%d")
    return {name: day.strftime(written) for name, written in DATE_VARIABLES.items()}


@lru_cache(maxsize=16)
def _clock(date: str) -> str:
    """A line of Jinja that stands for transformers' `strftime_now`, and renders as nothing.

    On a given day each directive is a constant. The line's end goes with the block before it.
    """
    day = datetime.strptime(date, "%Y-%m-%d")
    told = {flag + letter: day.strftime(f"%{flag}{letter}") for flag in _FLAGS for letter in _LETTERS}
    # `%s` would ask for the time zone of the machine; `%f` is Python's own and takes no flag.
    told |= {"s": str(int((day - datetime(1970, 1, 1)).total_seconds())), "f": "000000"}
    known = {directive: value for directive, value in told.items() if "%" not in value}
    # What follows a % is a directive, but after %% and at the start.
    return (
        f"{{% macro strftime_now(format) %}}{{% set told = {json.dumps(known)} %}}{{% set at = namespace(text=true) %}}"
        "{% for part in format.split('%') %}"
        "{% if at.text %}{{ part }}{% set at.text = false %}"
        "{% elif part == '' %}{{ '%' }}{% set at.text = true %}"
        "{% elif part[:2] in told %}{{ told[part[:2]] + part[2:] }}"
        "{% elif part[:1] in told %}{{ told[part[:1]] + part[1:] }}"
        "{% else %}{{ '%' + part }}{% endif %}{% endfor %}{% endmacro %}\n"
    )


@contextmanager
def _seeded() -> Iterator[None]:
    """Python's random numbers from one seed, as Jinja's `random` and `lipsum` draw them; put back afterwards."""
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)
