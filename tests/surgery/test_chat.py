"""Chat templates render the same whenever they are rendered, and what is wrong with one is one sentence."""

import random
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from surgery import InputError
from surgery.tokens.chat import (
    DEFAULT_DATE,
    date_of,
    in_chat_template,
    render,
    require_date,
    require_template,
    set_date,
)

DAYS = st.dates(min_value=date(1970, 1, 1), max_value=date(2200, 1, 1))
PIECES = st.lists(
    st.one_of(st.sampled_from([f"%{letter}" for letter in "aAbBdjmyYHMSpIf%"]), st.sampled_from([" ", "-", "d", "at"]))
)


@pytest.fixture(scope="module")
def chatting(tokenizer: PreTrainedTokenizerFast) -> Any:
    """A tokenizer of its own, so that nothing is left of a template afterwards."""
    import copy

    return copy.deepcopy(tokenizer)


def rendered(tokenizer: Any, template: Any, text: str = "w1") -> str:
    tokenizer.chat_template = template
    return render(tokenizer, [{"role": "user", "content": text}])


@settings(max_examples=40, deadline=None)
@given(day=DAYS, pieces=PIECES)
def test_a_clock_stands_at_the_tokenizers_date_in_every_format(chatting, day: date, pieces: list[str]) -> None:
    set_date(chatting, day.isoformat())
    written = "".join(pieces)
    said = rendered(chatting, "{{ strftime_now(messages[0]['content']) }}", written)
    assert said == datetime(day.year, day.month, day.day).strftime(written)


@settings(max_examples=25, deadline=None)
@given(day=DAYS)
def test_variables_that_ask_for_a_day_are_given_the_tokenizers_date(chatting, day: date) -> None:
    set_date(chatting, day.isoformat())
    said = rendered(chatting, "{{ date_string }}|{{ current_date }}|{{ today if today is defined else 'later' }}")
    assert said == f"{day.strftime('%d %b %Y')}|{day.isoformat()}|{day.isoformat()}"


def test_a_macro_and_a_flag_tell_the_date_too(chatting) -> None:
    set_date(chatting, "2031-02-03")
    template = "{% macro day() %}{{ strftime_now('%-d. %B') }}{% endmacro %}{{ day() }} {{ strftime_now('%s') }}"
    assert rendered(chatting, template) == "3. February 1927843200"


def test_a_tokenizer_that_was_given_no_date_has_the_one_that_is_documented(tokenizer) -> None:
    assert date_of(tokenizer) == DEFAULT_DATE == "2024-07-26"


@pytest.mark.parametrize(
    "template",
    [
        "  {% for m in messages %}\n  {{ m['content'] }}\n  {% endfor %}\nend",
        "\n\n{%- for m in messages -%}\n {{ m['content'] }} {%- endfor %}\n",
        "  {# said #}\n{{ messages[0].content }}{% if add_generation_prompt %}!{% endif %}",
        "{{ bos_token }}{% set ns = namespace(n=0) %}{{ messages | tojson }}{{ ns.n }}",
    ],
)
def test_a_template_without_a_clock_renders_as_in_transformers(chatting, template: str) -> None:
    said = rendered(chatting, template)
    assert said == chatting.apply_chat_template([{"role": "user", "content": "w1"}], tokenize=False)


def test_what_a_template_draws_by_chance_is_drawn_alike_and_leaves_the_callers_random_numbers(chatting) -> None:
    template = "{{ range(9999) | random }} {{ range(9999) | random }} {{ lipsum(n=1, html=false) }}"
    random.seed(5)
    before = random.getstate()
    first = rendered(chatting, template)
    assert random.getstate() == before
    random.seed(6)
    assert rendered(chatting, template) == first


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "no chat template"),
        ({"tools": "{{ messages }}", "rag": "{{ messages }}"}, "several chat templates (rag, tools)"),
        ("{% for m in messages %}{{ m['content'] }}", "can't be read: Unexpected end of template"),
        ("{{ messages[0].content }\n", "can't be read"),
        ("{{ raise_exception('a system turn\\nis needed') }}", "refuses: a system turn"),
        ("{{ now() }}", "refuses: 'now' is undefined"),
        ("{{ messages[0].content + 1 }}", "refuses"),
        ("{{ ''.__class__.__mro__ }}{{ messages.append(1) }}", "refuses"),
        ("{% for part in messages[0].content %}{{ part.text }}{% endfor %}", "leaves out what the user says"),
        ("You are kind.", "leaves out what the user says"),
    ],
)
def test_a_template_that_can_not_be_used_is_one_sentence_that_names_the_key(chatting, template, said: str) -> None:
    chatting.chat_template = template
    with pytest.raises(InputError) as refused:
        require_template(chatting, key="model.chat")
    assert said in str(refused.value)
    assert "model.chat=true" in str(refused.value)
    assert "model.chat=false" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_line_that_can_not_be_read_is_told_by_the_number_it_has_in_the_template(chatting) -> None:
    chatting.chat_template = "one\ntwo\n{% for %}"
    with pytest.raises(InputError, match=r"\(line 3\)"):
        in_chat_template(chatting, ["w1"])


@settings(max_examples=25, deadline=None)
@given(day=DAYS)
def test_a_date_is_taken_in_one_spelling(day: date) -> None:
    assert require_date(day.isoformat()) == day.isoformat()
    for other in (day.strftime("%Y%m%d"), day.strftime("%d.%m.%Y"), f"{day.isoformat()} ", f"{day.isoformat()}T00:00"):
        with pytest.raises(ValueError, match="YEAR-MONTH-DAY"):
            require_date(other)
