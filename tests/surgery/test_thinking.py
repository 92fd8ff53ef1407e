"""Thoughts parted from answers by the marks of today's models; what a template is asked for, or refuses to be."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from surgery.errors import InputError
from surgery.tokens.chat import in_chat_template, render, thoughts_of
from surgery.tokens.framing import Framing, set_framing
from surgery.tokens.template_checks import ends_turns, require_framing
from surgery.tokens.thinking import Thinking, Thoughts

END = "<|im_end|>"
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
)
HYBRID = (
    TURNS + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
ALWAYS = TURNS + "<think>\n{% endif %}"
PLAIN = TURNS + "{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + PLAIN
DEAF = "{% for m in messages if m.role != 'system' %}{{ m.content }}<|im_end|>{% endfor %}"
HARMONY = Thinking("strip", "<|channel|>analysis<|message|>", "<|channel|>final<|message|>")


def bytes_tokenizer(template: str | None, special: tuple[str, ...] = (), plain: tuple[str, ...] = ()) -> Any:
    """A byte a token, beside marks that are tokens of their own: special ones, and ones that decoding keeps."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=END, chat_template=template)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", *special]})
    tokenizer.add_tokens(list(plain))
    return tokenizer


@pytest.fixture(scope="module")
def marked() -> Any:
    return bytes_tokenizer(HYBRID, plain=("<think>", "</think>"))


@pytest.fixture(scope="module")
def unmarked() -> Any:
    """Marks are letters like others."""
    return bytes_tokenizer(HYBRID)


@pytest.fixture(scope="module")
def harmony() -> Any:
    special = ("<|channel|>", "<|message|>", "<|end|>", "<|start|>")
    return bytes_tokenizer(PLAIN, special=special)


def parted(tokenizer: Any, text: str, thinking: Thinking | None = None, opened: bool = False) -> tuple[str, str | None]:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return Thoughts(tokenizer, thinking or Thinking("strip"), opened).parted(ids)


@pytest.mark.parametrize("kind", ["marked", "unmarked"])
@pytest.mark.parametrize(
    ("written", "opened", "thought", "answer"),
    [
        ("<think>\nLet me see.\n</think>\n\nNo — été.", False, "<think>\nLet me see.\n</think>\n\n", "No — été."),
        ("Let me see.</think>Yes.", True, "Let me see.</think>", "Yes."),
        (" Yes.", False, "", " Yes."),
        ("<think>Let me", False, "<think>Let me", None),
        ("Let me", True, "Let me", None),
        ("<think>a</think>b<think>c</think>d", False, "<think>a</think>b<think>c</think>", "d"),
        ("<think>a</think>b<think>c", False, "<think>a</think>b<think>c", None),
        ("<think>a</think>", False, "<think>a</think>", ""),
        ("", False, "", ""),
        ("", True, "", None),
    ],
)
def test_an_answer_is_what_follows_the_last_thought(
    request: pytest.FixtureRequest, kind: str, written: str, opened: bool, thought: str, answer: str | None
) -> None:
    assert parted(request.getfixturevalue(kind), written, opened=opened) == (thought, answer)


def test_marks_that_are_special_tokens_part_too_and_are_no_part_of_the_answer(harmony: Any) -> None:
    thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
    assert parted(harmony, thought + "Sorry.<|end|>", HARMONY) == (thought, "Sorry.")
    assert parted(harmony, "<|channel|>analysis<|message|>Hm.", HARMONY)[1] is None
    assert parted(harmony, "<|channel|>final<|message|>Sorry.", HARMONY)[1] == "Sorry."


PIECES = st.lists(st.sampled_from(["<think>", "</think>", "a", "é", " ", "\n", "—b", "</", "think>"]), max_size=12)


@given(pieces=PIECES, opened=st.booleans())
def test_whatever_is_written_parts_as_texts_do(pieces: list[str], opened: bool) -> None:
    """Against the texts alone: the last end, and whether a beginning follows it."""
    written = "".join(pieces)
    before, found, after = written.rpartition("</think>")
    for tokenizer in (_MARKED, _UNMARKED):
        thought, answer = parted(tokenizer, written, opened=opened)
        assert thought + (answer or "") == written
        if "<think>" in after or (not found and opened):
            assert answer is None
        else:
            assert answer == (after.lstrip() if found else written)
            assert thought.rstrip() == (before + found).rstrip()


_MARKED, _UNMARKED = bytes_tokenizer(None, plain=("<think>", "</think>")), bytes_tokenizer(None)


def framed(tokenizer: Any, framing: Framing) -> Any:
    made = copy.copy(tokenizer)
    set_framing(made, framing)
    return made


def shown(tokenizer: Any, framing: Framing) -> str:
    return in_chat_template(framed(tokenizer, framing), ["Why?"], answer_follows=True)[0]


def test_a_template_is_asked_for_no_thought_or_begun_with_an_empty_one(marked: Any) -> None:
    begun = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    empty = "<think>\n\n</think>\n\n"
    assert shown(marked, Framing()) == begun
    assert shown(marked, Framing(thinking=Thinking("off"))) == begun + empty
    assert shown(marked, Framing(thinking=Thinking("strip"))) == begun
    without = Framing(thinking=Thinking("off", empty=empty))
    # A template that begins a thought itself is not begun another.
    for template in (PLAIN, ALWAYS):
        assert shown(bytes_tokenizer(template), without) == begun + empty
    # What is read and not answered is begun nothing.
    assert "<think>" not in in_chat_template(framed(bytes_tokenizer(PLAIN), without), ["Why?"])[0]


def test_a_system_prompt_stands_before_conversations_that_have_none(marked: Any) -> None:
    tokenizer = framed(marked, Framing(system="Be kind."))
    user, own = {"role": "user", "content": "Why?"}, {"role": "system", "content": "Be brief."}
    assert render(tokenizer, [user]).startswith("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWhy?")
    assert "Be kind." not in render(tokenizer, [own, user])
    assert "Be kind." not in render(marked, [user])


def test_a_thought_is_open_where_the_template_begins_one() -> None:
    strip = Framing(thinking=Thinking("strip"))
    assert [thoughts_of(framed(bytes_tokenizer(one), strip)).opened for one in (PLAIN, ALWAYS)] == [False, True]  # type: ignore[union-attr]
    assert thoughts_of(framed(bytes_tokenizer(ALWAYS), strip), chat=False) is None
    assert thoughts_of(framed(bytes_tokenizer(HYBRID), Framing(thinking=Thinking("off")))) is None


@pytest.mark.parametrize(
    ("template", "framing", "said"),
    [
        (NO_SYSTEM, Framing(system="Be kind."), "refuses: no system role; leave model.system out"),
        (DEAF, Framing(system="Be kind."), "leaves a system prompt out"),
        (None, Framing(system="Be kind."), "has no chat template; leave model.system out"),
        (PLAIN, Framing(thinking=Thinking("off")), "knows no enable_thinking=false; say model.thinking=keep"),
        (ALWAYS, Framing(thinking=Thinking("off")), "knows no enable_thinking=false"),
        (PLAIN, Framing(thinking=Thinking("strip")), "knows '</think>'"),
    ],
)
def test_what_a_template_has_no_place_for_is_refused(template: str | None, framing: Framing, said: str) -> None:
    with pytest.raises(InputError) as refused:
        require_framing(framed(bytes_tokenizer(template), framing), framing)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


# Asked for no thought unless it is asked for one; as some templates are.
QUIET = (
    TURNS + "<think>\n{% if not (enable_thinking is defined and enable_thinking) %}\n</think>\n\n{% endif %}{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "framing"),
    [
        (HYBRID, Framing("Be kind.", Thinking("off"))),
        (HYBRID, Framing("Be kind.", Thinking("strip"))),
        (QUIET, Framing(thinking=Thinking("off"))),
        (PLAIN, Framing(thinking=Thinking("off", empty="<think></think>"))),
        (ALWAYS + "{# ends in </think> #}", Framing(thinking=Thinking("strip"))),
        (PLAIN, Framing()),
    ],
)
def test_what_it_has_a_place_for_is_not(template: str, framing: Framing) -> None:
    tokenizer = framed(bytes_tokenizer(template), framing)
    require_framing(tokenizer, framing)
    assert "Why?" in in_chat_template(tokenizer, ["Why?"], answer_follows=True)[0]


def test_a_model_that_stops_where_the_template_ends_a_turn_is_made_for_it() -> None:
    tokenizer = bytes_tokenizer(HYBRID, special=("<|endoftext|>",))
    ids = tokenizer.convert_tokens_to_ids
    assert ends_turns(tokenizer, {ids(END), ids("<|endoftext|>")}) is True
    assert ends_turns(tokenizer, {ids("<|endoftext|>")}) is False
    # A template that ends turns in words, or none, tells nothing.
    assert ends_turns(bytes_tokenizer("{% for m in messages %}{{ m.content }} {% endfor %}"), {0}) is None
    assert ends_turns(bytes_tokenizer(None), {0}) is None
