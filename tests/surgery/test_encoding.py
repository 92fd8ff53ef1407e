"""What a model is fed: no end that the tokenizer adds, nothing without an embedding, never only the template."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import ByT5Tokenizer, LlamaConfig, PreTrainedTokenizerFast

from surgery import InputError, collect_hidden_states
from surgery.tokens.encoding import Reading, encode, padding_id, start_id, start_ids, token_ids

TEXTS = ["w1", "w2 w3 w60", "unheard w5", "<pad> w1 <pad>", ""]
IDS = st.integers(min_value=0, max_value=63)
FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
HEAD, TAIL = ["w50", "w51"], ["w52", "w53", "w54"]


def adding(tokenizer: Any, begin: list[int], end: list[int]) -> Any:
    """The tokenizer, with these tokens before and after each text."""
    made: PreTrainedTokenizerFast = copy.deepcopy(tokenizer)
    names = {one: made.convert_ids_to_tokens(one) for one in {*begin, *end}}
    single = [*(names[one] for one in begin), "$A", *(names[one] for one in end)]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(name, one) for one, name in names.items()]
    )
    return made


@FEW
@given(begin=st.lists(IDS, max_size=3), end=st.lists(IDS, max_size=3))
def test_texts_begin_as_the_tokenizer_begins_them_and_end_as_they_do(tokenizer, begin, end) -> None:
    plain = tokenizer(TEXTS, add_special_tokens=False)["input_ids"]
    made = adding(tokenizer, begin, end)
    assert made(TEXTS)["input_ids"] == [[*begin, *ids, *end] for ids in plain]
    assert start_ids(made) == begin
    assert token_ids(made, TEXTS) == [[*begin, *ids] for ids in plain]
    assert token_ids(made, TEXTS, special_tokens=False) == plain


def test_a_tokenizer_in_python_that_appends_eos_does_not_end_texts() -> None:
    byte_level = ByT5Tokenizer()
    assert byte_level("ab")["input_ids"][-1] == byte_level.eos_token_id
    assert token_ids(byte_level, ["ab", "b"]) == [[100, 101], [101]]


def test_hidden_states_are_those_of_the_tokenizer_without_an_end(build, tokenizer) -> None:
    model, texts = build(), ["w1 w2", "w3"]
    expected = collect_hidden_states(model, adding(tokenizer, [7], []), texts, [2])[2]
    assert collect_hidden_states(model, adding(tokenizer, [7], [9]), texts, [2])[2].equal(expected)


def in_frame(tokenizer: Any) -> Any:
    made = copy.deepcopy(tokenizer)
    made.chat_template = (
        f"{' '.join(HEAD)} {{{{ messages[0].content | trim }}}} {' '.join(TAIL[:-1])}"
        f"{{% if add_generation_prompt %}} {TAIL[-1]}{{% endif %}}"
    )
    return made


@FEW
@given(count=st.integers(1, 90), longest=st.integers(1, 80), keep=st.sampled_from(["start", "end"]), chat=st.booleans())
def test_a_text_is_cut_to_what_fits_and_never_all_of_it(build, tokenizer, count, longest, keep, chat) -> None:
    words = [f"w{number % 50}" for number in range(count)]
    made = in_frame(adding(tokenizer, [7, 8], [9]))
    head, tail = (HEAD, TAIL) if chat else (made.convert_ids_to_tokens([7, 8]), [])
    reading = Reading(longest, chat=chat, answer_follows=True, keep=keep)
    if longest <= len(head) + len(tail):
        with pytest.raises(InputError, match=rf"\b{longest} tokens.* {len(head) + len(tail)} tokens"):
            encode(build(), made, [" ".join(words)], reading)
        return
    found = encode(build(), made, [" ".join(words)], reading)
    tokens = made.convert_ids_to_tokens(found.ids[0])
    kept = min(count, longest - len(head) - len(tail))
    assert tokens == [*head, *(words[:kept] if keep == "start" else words[count - kept :]), *tail]
    assert found.cut == (kept < count)
    assert found.shown[0].split() == (tokens if chat else tokens[2:])


def test_a_text_that_begins_with_blanks_keeps_some_of_its_words(build, tokenizer) -> None:
    reading = Reading(len(HEAD) + len(TAIL) + 1, chat=True, answer_follows=True)
    found = encode(build(), in_frame(tokenizer), [" \n " * 30 + "w1 w2"], reading)
    assert tokenizer.convert_ids_to_tokens(found.ids[0]) == [*HEAD, "w1", *TAIL]


def test_a_text_whose_first_character_does_not_fit_is_refused_while_planning(build, sizes) -> None:
    byte_level = ByT5Tokenizer(extra_ids=0)
    byte_level.chat_template = "<{{ messages[0].content }}>"
    model = build(LlamaConfig(**sizes | {"vocab_size": 300}))
    reading = Reading(4, chat=True, limit="behavior.max_length=4", key="behavior.chat")
    reading.check(model, byte_level, ["ab", "cd"])
    with pytest.raises(InputError, match=r"behavior.max_length=4.*takes 2 tokens.*behavior.chat=false"):
        reading.check(model, byte_level, ["ab", "\N{GRINNING FACE}"])


@FEW
@given(
    pad=st.none() | st.integers(0, 90),
    bos=st.none() | st.integers(0, 90),
    eos=st.none() | st.integers(0, 90),
    rows=st.integers(1, 80),
)
def test_what_pads_and_begins_has_an_embedding_and_is_the_tokenizers_own_where_it_can_be(pad, bos, eos, rows) -> None:
    import torch

    class Named:
        pad_token_id, bos_token_id, eos_token_id = pad, bos, eos

    class Model:
        def get_input_embeddings(self) -> torch.nn.Embedding:
            return torch.nn.Embedding(rows, 1)

    for found, own in ((padding_id(Model(), Named()), pad), (start_id(Model(), Named()), bos)):  # type: ignore[arg-type]
        assert 0 <= found < rows
        if own is not None and own < rows:
            assert found == own


@pytest.mark.parametrize("begin", [[], [64]])
def test_a_token_without_an_embedding_is_named_whether_the_text_or_the_tokenizer_holds_it(build, tokenizer, begin):
    wide = copy.deepcopy(tokenizer)
    wide.add_special_tokens({"pad_token": "[PAD]"})
    assert wide.pad_token_id == 64
    model = build()
    assert padding_id(model, wide) < 64
    encode(model, wide, ["w1", "w2"], Reading())
    wide = adding(wide, begin, [])
    texts = ["w1", "w2 [PAD] w3"] if not begin else ["w1"]
    with pytest.raises(InputError, match=rf"text {len(texts)} of {len(texts)} holds the token '\[PAD\]' \(id 64\)"):
        Reading().check(model, wide, texts)
