"""Every measurement shows the model the same prompts, whatever its tokenizer adds, pads with or writes the date of."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import GenerationConfig

from evaluation.benchmarks import Benchmarks
from evaluation.comparison.compare import compare
from evaluation.continuations import Continuations
from evaluation.evaluator import ShowsPrompts
from evaluation.fluency import Fluency
from evaluation.generation import Generation, generate
from evaluation.lm_eval_tasks import LmEval
from evaluation.measurements.measurement import Measurement
from evaluation.measurements.measurement_files import load_measurements, save_measurements
from evaluation.perplexity import Perplexity
from evaluation.probe_loss import probe_loss
from evaluation.streaming import continue_aloud, stream
from surgery import Probe
from surgery.errors import InputError
from surgery.tokens.chat import set_date

from .conftest import QUESTIONS, make_model, make_tokenizer
from .test_generation import PROMPTS, SIX, plain_greedy

CLOCK = (
    "<s>w40 {{ strftime_now('%S') | replace('00', 'w41') }} {% for m in messages %}{{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}w42{% endif %}"
)


def with_eos(tokenizer: Any) -> Any:
    """As a tokenizer is saved after fine-tuning, often."""
    made = copy.deepcopy(tokenizer)
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert made("w1")["input_ids"][-1] == made.eos_token_id
    return made


def with_new_pad(tokenizer: Any) -> Any:
    """With a padding token that the model was not made larger for."""
    made = copy.deepcopy(tokenizer)
    made.add_special_tokens({"pad_token": "[PAD]"})
    assert made.pad_token_id == 64
    return made


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n")
    return path


def everything(model: Any, tokenizer: Any, prompts: Path, tasks: Path) -> dict[str, Measurement]:
    text = prompts.with_name("text.txt")
    text.write_text(" ".join(f"w{(i * i) % 60}" for i in range(200)))
    probe = Probe(torch.randn(2, 32, generator=torch.Generator().manual_seed(0)), torch.zeros(2), layer=2)
    texts = [f"w{i} w{3 * i}" for i in range(8)]
    measured = [
        *Continuations(prompts, generation=SIX, scorers={"fluency": Fluency()}).measure(model, tokenizer),
        *Perplexity({"text": text}).measure(model, tokenizer),
        *LmEval(tasks).measure(model, tokenizer),
        *probe_loss(model, tokenizer, probe, texts, [i % 2 for i in range(8)], [str(i) for i in range(8)]),
    ]
    return {f"{measurement.half} {measurement.name}": measurement for measurement in measured}


@pytest.mark.parametrize("changed", [with_eos, with_new_pad])
def test_nothing_is_measured_otherwise_with_what_a_tokenizer_appends_or_pads_with(
    model: Any, tokenizer: Any, prompts: Path, task_folder: Path, changed: Any
) -> None:
    expected = everything(model, tokenizer, prompts, task_folder)
    found = everything(model, changed(tokenizer), prompts, task_folder)
    assert found.keys() == expected.keys()
    assert {name.split()[1].split("/")[0] for name in found} == {"fluency", "perplexity", "lm_eval", "probe"}
    for name, measurement in found.items():
        np.testing.assert_array_equal(measurement.scores, expected[name].scores, name)
        assert measurement.outputs == expected[name].outputs


OWN_SETTINGS = st.fixed_dictionaries(
    {"eos_token_id": st.just(2)},
    optional={
        "num_beams": st.integers(1, 3),
        "do_sample": st.booleans(),
        "temperature": st.floats(0.1, 3),
        "repetition_penalty": st.floats(0.2, 5),
        "no_repeat_ngram_size": st.integers(1, 2),
        "min_new_tokens": st.integers(1, 6),
        "min_length": st.integers(1, 12),
        "suppress_tokens": st.lists(st.integers(4, 63), min_size=1, max_size=30),
        "begin_suppress_tokens": st.lists(st.integers(4, 63), min_size=1, max_size=30),
        "forced_eos_token_id": st.integers(4, 63),
        "max_length": st.integers(1, 8),
        "use_cache": st.booleans(),
        "stop_strings": st.just(["w"]),
        "prompt_lookup_num_tokens": st.integers(1, 3),
        "num_return_sequences": st.just(2),
    },
)
STOPS = st.lists(st.sampled_from(["w1", " w", "w2 w", "9 w", "5", "w33"]), max_size=2)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(own=OWN_SETTINGS, stop=STOPS, prompt=st.sampled_from(PROMPTS), chat=st.booleans())
def test_what_is_streamed_is_what_is_measured_whatever_the_models_own_settings(
    own: Mapping[str, Any], stop: list[str], prompt: str, chat: bool
) -> None:
    model, tokenizer = make_model(), make_tokenizer()
    tokenizer.chat_template = CLOCK
    asked = replace(SIX, stop=tuple(stop), chat=chat)
    # The tokenizer adds a BOS, and so does the template.
    free = plain_greedy(model, tokenizer, f"w40 w41 {prompt} w42" if chat else prompt, 6)
    expected = free[: min((free.find(end) for end in stop if end in free), default=len(free))]
    model.generation_config = foreign = GenerationConfig()
    for name, value in own.items():
        setattr(foreign, name, value)
    pieces = list(stream(model, tokenizer, prompt, asked))
    assert "".join(pieces) == expected
    assert generate(model, tokenizer, [prompt], asked).texts == [expected]
    assert model.generation_config is foreign


def test_an_answer_comes_in_pieces_and_an_error_reaches_the_reader(model: Any, tokenizer: Any) -> None:
    pieces = list(stream(model, tokenizer, "w2 w3 w4 w5 w6 w7", SIX))
    assert len(pieces) > 2
    model.forward = lambda *args, **kwargs: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(stream(model, tokenizer, "w1", SIX))


def test_who_listens_is_given_what_generate_gives_and_can_end_it(model: Any, tokenizer: Any) -> None:
    prompt, pieces = "w2 w3 w4 w5 w6 w7", []
    whole = continue_aloud(model, tokenizer, prompt, SIX, pieces.append)
    expected = generate(model, tokenizer, [prompt], SIX)
    assert (whole.texts, whole.ids, whole.shown) == (expected.texts, expected.ids, expected.shown)
    assert "".join(pieces) == expected.texts[0]
    own = model.generation_config

    class Enough(Exception): ...

    def until_three(tokens: list[int] = []) -> None:  # noqa: B006
        tokens.append(1)
        if len(tokens) > 3:
            raise Enough

    pieces.clear()
    with pytest.raises(Enough):
        continue_aloud(model, tokenizer, prompt, SIX, pieces.append, until_three)
    assert expected.texts[0].startswith("".join(pieces))
    assert len("".join(pieces).split()) < 3
    assert model.generation_config is own


def test_what_a_template_made_of_a_prompt_is_kept_with_it(model: Any, tokenizer: Any, prompts: Path) -> None:
    tokenizer.chat_template = CLOCK
    evaluator = Continuations(prompts, generation=replace(SIX, chat=True), scorers={"fluency": Fluency()})
    measured = evaluator.measure(model, tokenizer)
    for one in measured:
        assert one.rendered == tuple(f"<s>w40 w41 {prompt} w42" for prompt in one.inputs or ())
    path = prompts.with_name("measured.parquet")
    save_measurements(measured, path)
    assert load_measurements(path)[0].rendered == measured[0].rendered
    plain = Continuations(prompts, generation=SIX, scorers={"fluency": Fluency()}).measure(model, tokenizer)
    assert all(one.rendered is None for one in plain)


def test_lm_evals_questions_are_rendered_on_the_date_and_kept(model: Any, tokenizer: Any, task_folder: Path) -> None:
    tokenizer.chat_template = "w40 {{ strftime_now('%d') }} {{ messages[0].content }} w42 "
    set_date(tokenizer, "2031-02-17")
    choosing, *_ = LmEval(task_folder, chat=True).measure(model, tokenizer)
    assert choosing.rendered == tuple(f"w40 17 {question['question']} w42 " for question in QUESTIONS)


def test_base_and_edited_that_were_shown_other_prompts_are_not_compared(model: Any, tokenizer: Any, prompts) -> None:
    evaluator = Continuations(prompts, generation=replace(SIX, chat=True), scorers={"fluency": Fluency()})
    tokenizer.chat_template = "{{ messages[0].content }} {{ strftime_now('%d') }}"
    base = evaluator.measure(model, tokenizer)[0]
    set_date(tokenizer, "2031-02-17")
    edited = evaluator.measure(model, tokenizer)[0]
    assert compare(base, base).delta == 0
    with pytest.raises(ValueError, match="shown different prompts"):
        compare(base, edited)


@pytest.mark.parametrize("chat", [False, True])
def test_prompts_that_are_too_long_are_told_and_lose_their_beginning_alone(tokenizer: Any, tmp_path, chat) -> None:
    model = make_model(positions=16)
    tokenizer.chat_template = "w50 {{ messages[0].content }} w51"
    path = tmp_path / "long.txt"
    path.write_text("w1 w2\n" + " ".join(f"w{i}" for i in range(30)) + "\n")
    evaluator = Continuations(path, generation=replace(SIX, chat=chat), scorers={"fluency": Fluency()})
    [said] = evaluator.check_prompts(model, tokenizer)
    assert said.startswith("1 of 2 prompts of long.txt have no room")
    shown = {one.rendered[0] for one in evaluator.measure(model, tokenizer) if one.rendered}
    last = "w22 w23 w24 w25 w26 w27 w28 w29" if chat else "w21 w22 w23 w24 w25 w26 w27 w28 w29"
    assert (f"w50 {last} w51" if chat else last) in shown
    assert {one.notes.get("prompts_cut") for one in evaluator.measure(model, tokenizer)} == {1}


def test_a_template_that_leaves_no_room_in_the_model_is_refused_with_both_lengths(tokenizer: Any, prompts) -> None:
    model = make_model(positions=16)
    tokenizer.chat_template = "w50 " * 10 + "{{ messages[0].content }}"
    evaluator = Continuations(prompts, generation=replace(SIX, chat=True), scorers={"fluency": Fluency()})
    for used in (evaluator.check_prompts, evaluator.measure):
        with pytest.raises(InputError, match=r"takes 16 tokens.*chat template alone takes 10 tokens"):
            used(model, tokenizer)


def test_a_token_without_an_embedding_is_found_in_every_kind_of_prompt(
    model: Any, tokenizer: Any, tmp_path: Path, task_folder: Path
) -> None:
    wide = with_new_pad(tokenizer)
    path = tmp_path / "held.txt"
    path.write_text("w1 w2 w3 [PAD] w4")
    for evaluator in (Continuations(path, generation=SIX), Perplexity({"held": path})):
        evaluator.check_prompts(model, tokenizer)
        for used in (evaluator.check_prompts, evaluator.measure):
            with pytest.raises(InputError, match=r"holds the token '\[PAD\]' \(id 64\)"):
                used(model, wide)
    data = task_folder / "choosing.jsonl"
    data.write_text(data.read_text().replace('"w3 w4"', '"w3 [PAD]"'))
    with pytest.raises(InputError, match=r"a question of a task \('w3 \[PAD\].*id 64"):
        LmEval(task_folder).measure(model, wide)


def test_what_the_tokenizer_can_not_do_is_found_by_all_that_use_a_template(model: Any, tokenizer: Any, prompts) -> None:
    tokenizer.chat_template = "{{ raise_exception('a system turn is needed') }}"
    in_chat = LmEval("arc_easy", chat=True)
    for evaluator in (Continuations(prompts, generation=Generation(chat=True)), in_chat, Benchmarks({"arc": in_chat})):
        assert isinstance(evaluator, ShowsPrompts)
        with pytest.raises(InputError, match=r"model\.chat=true.*a system turn is needed"):
            evaluator.check_prompts(model, tokenizer)
    assert LmEval("arc_easy").check_prompts(model, tokenizer) == []
