"""A model that thinks before it answers: every measurement is of the answer, and says where there is none."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import LlamaConfig, LlamaForCausalLM

from evaluation.continuations import Continuations, score_ended
from evaluation.divergence.divergence import Divergence
from evaluation.fluency import Fluency
from evaluation.generation import Generated, Generation, check_prompts, generate
from evaluation.grouped_prompts import PromptSets
from evaluation.judge.probe_texts import ProbeTexts
from evaluation.lm_eval_tasks import LmEval
from evaluation.measurements.measurement import Measurement
from evaluation.measurements.measurement_files import load_measurements, save_measurements
from evaluation.refusal.refusal import Answered, Refusal
from evaluation.scores_from_file import ImportedScores
from evaluation.streaming import continue_aloud, stream
from surgery.errors import InputError
from surgery.tokens.framing import Framing, set_framing
from surgery.tokens.thinking import Thinking

from .conftest import make_tokenizer

TEMPLATE = "{% for m in messages %}{% if m.role == 'system' %}w50 {% endif %}{{ m.content }} {% endfor %}"
# What follows a word, whatever came before it. After w1 comes a thought, and then an answer; after w2 a thought that
# takes longer; after w3 no thought.
CHAIN = {
    **{
        "w1": "<think>",
        "<think>": "w10",
        "w10": "w11",
        "w11": "</think>",
        "</think>": "w20",
        "w20": "w21",
        "w21": "</s>",
    },
    **{"w2": "w30", "w30": "w31", "w31": "w32", "w32": "<think>", "w3": "w20", "w50": "w3", "w4": "w1"},
}
FIVE, SIX, TEN = (Generation(max_new_tokens=count, chat=True) for count in (5, 6, 10))


def thinking_tokenizer(mode: str | None = "strip") -> Any:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = TEMPLATE
    if mode is not None:
        set_framing(tokenizer, Framing(thinking=Thinking(mode, empty="<think> </think>")))  # type: ignore[arg-type]
    return tokenizer


def chain_model(tokenizer: Any, noise: float = 0.0, seed: int = 0) -> LlamaForCausalLM:
    """Its next token depends on the last one alone: softmax of a column of its output matrix, times 8."""
    size = 66
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        rms_norm_eps=1e-12,
        **{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config).eval()
    ids = {word: tokenizer.convert_tokens_to_ids(word) for word in (*CHAIN, *CHAIN.values())}
    # Of the 66 tokens two are never read: a token's place among the others is its axis.
    axis = {token: place for place, token in enumerate(token for token in range(size) if token not in (0, 3))}
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.zero_()
        for token, place in axis.items():
            model.model.embed_tokens.weight[token, place] = 1.0
        model.lm_head.weight.copy_(noise * torch.randn(size, 64))
        for word, following in CHAIN.items():
            model.lm_head.weight[ids[following], axis[ids[word]]] += 1.0
    model.axis = axis
    return model


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return chain_model(thinking_tokenizer())


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    # In each half there are several of all kinds.
    path.write_text("\n".join(f"w{40 + i} w{1 + i % 3}" for i in range(18)) + "\n")
    return path


PROMPTS = ["w40 w1", "w41 w2", "w42 w3"]
THOUGHT = "<think> w10 w11 </think> "


def said(generated: Generated) -> tuple[list[str], list[str] | None, frozenset[int]]:
    return generated.texts, generated.whole, generated.unended


def test_what_follows_a_thought_is_the_answer(model: Any) -> None:
    found = generate(model, thinking_tokenizer(), PROMPTS, TEN)
    whole = [THOUGHT + "w20 w21", "w30 w31 w32 " + THOUGHT + "w20 w21", "w20 w21"]
    assert said(found) == (["w20 w21"] * 3, whole, frozenset())
    found = generate(model, thinking_tokenizer(), PROMPTS, FIVE)
    whole = [THOUGHT + "w20", "w30 w31 w32 <think> w10", "w20 w21"]
    assert said(found) == (["w20", "", "w20 w21"], whole, frozenset({1}))


@pytest.mark.parametrize("mode", [None, "off"])
def test_thoughts_stay_where_they_are_not_stripped(model: Any, mode: str | None) -> None:
    found = generate(model, thinking_tokenizer(mode), PROMPTS, FIVE)
    kept = [THOUGHT + "w20", "w30 w31 w32 <think> w10", "w20 w21"]
    # After an empty thought the answer follows at once.
    assert said(found) == (kept if mode is None else ["w20 w21"] * 3, None, frozenset())
    assert generate(model, thinking_tokenizer(), PROMPTS, Generation(5)).texts == kept


@pytest.mark.parametrize(("stop", "answer"), [("w11", "w20 w21"), ("w10 w11", "w20 w21"), (" w21", "w20")])
def test_a_text_to_stop_at_ends_answers_and_no_thoughts(model: Any, stop: str, answer: str) -> None:
    found = generate(model, thinking_tokenizer(), PROMPTS[:1], Generation(10, chat=True, stop=[stop]))
    assert said(found) == ([answer], [THOUGHT + answer], frozenset())


def test_what_is_streamed_is_the_whole(model: Any) -> None:
    for settings in (FIVE, TEN):
        whole = generate(model, thinking_tokenizer(), PROMPTS, settings).whole
        assert ["".join(stream(model, thinking_tokenizer(), prompt, settings)) for prompt in PROMPTS] == whole


def test_an_answer_that_is_listened_to_is_parted_from_its_thoughts_too(model: Any) -> None:
    tokenizer = thinking_tokenizer()
    for settings in (FIVE, TEN):
        expected = generate(model, tokenizer, PROMPTS, settings)
        heard = [continue_aloud(model, tokenizer, prompt, settings, lambda piece: None) for prompt in PROMPTS]
        assert [one.texts[0] for one in heard] == expected.texts
        assert [(one.whole or [""])[0] for one in heard] == expected.whole
        assert {index for index, one in enumerate(heard) if one.unended} == expected.unended


class Always:
    """Says 1 of whatever it reads, and keeps it."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def check(self) -> None: ...

    def prepare(self) -> None: ...

    def identity(self) -> dict[str, Any]:
        return {}

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Mapping[str, NDArray[np.float64]]:
        self.read += continuations
        return {"always/rate": np.ones(len(continuations))}


def by_name(measurements: Sequence[Measurement]) -> dict[str, Measurement]:
    return {f"{one.half} {one.name}": one for one in measurements}


def test_a_thought_that_has_not_ended_is_counted_and_of_no_class(model: Any, prompts: Path, tmp_path: Path) -> None:
    always = Always()
    scorers = {"always": always, "refusal": Refusal(["w2"]), "answered": Answered(["zzz"]), "fluency": Fluency()}
    evaluator = Continuations(prompts, generation=FIVE, scorers=scorers)
    measured = evaluator.measure(model, thinking_tokenizer())
    assert sorted(set(always.read)) == ["w20", "w20 w21"]
    assert {one.half for one in measured} == {"report", "selection"}
    for half in ("report", "selection"):
        found = by_name(measured)
        unended = found[f"{half} always/rate/unended"]
        expected = np.array([float(prompt.endswith("w2")) for prompt in unended.inputs or ()])
        assert 0 < expected.mean() < 1
        np.testing.assert_array_equal(unended.scores, expected)
        for name in ("always/rate", "jailbreak/refusal_rate", "jailbreak/harmless_answered"):
            np.testing.assert_array_equal(found[f"{half} {name}"].scores, 1 - expected)
        # A model that says nothing does not look fluent.
        np.testing.assert_array_equal(found[f"{half} fluency/repetition"].scores, expected)
        assert set(found[f"{half} fluency/length"].scores[expected == 1]) == {0.0}
        rate = found[f"{half} always/rate"]
        assert rate.outputs is not None and rate.scored is not None
        for prompt, output, scored in zip(rate.inputs or (), rate.outputs, rate.scored, strict=True):
            told = {"w1": (THOUGHT + "w20", "w20"), "w2": ("w30 w31 w32 <think> w10", ""), "w3": ("w20 w21", "w20 w21")}
            assert (output, scored) == told[prompt.split()[1]]
    save_measurements(measured, tmp_path / "kept.parquet")
    assert [one.scored for one in load_measurements(tmp_path / "kept.parquet")] == [one.scored for one in measured]


def test_nothing_is_told_of_thoughts_that_are_kept(model: Any, prompts: Path) -> None:
    measured = Continuations(prompts, generation=FIVE, scorers={"always": Always()}).measure(
        model, thinking_tokenizer(None)
    )
    assert {one.name for one in measured} == {"always/rate"}
    assert all(one.scored is None for one in measured)


def test_a_scorer_is_shown_answers_alone_and_a_judges_own_accuracy_stays(tmp_path: Path) -> None:
    generated = Generated(["w20", "", "w21"], [], {}, [], ["", "", ""], frozenset({1}))
    table = tmp_path / "scores.csv"
    table.write_text("prompt,continuation,score\na,w20,0.25\nc,w21,0.75\n")
    found = score_ended(ImportedScores(table, "people"), ["a", "b", "c"], generated)
    assert {tuple(values) for values in found.values()} == {(0.25, 0.0, 0.75), (0.0, 0.0, 1.0)}
    texts = tmp_path / "texts.csv"
    lines = [f"{'rude' if i % 2 else 'kind'} word{i} person,{i % 2}" for i in range(200)]
    texts.write_text("\n".join(["text,label", *lines]) + "\n")
    judge = ProbeTexts({"path": str(texts), "text": "text", "label": "label", "avoid": [1]}, share=0.3)
    spoken = Generated(["rude", "", "kind"], [], {}, [], ["", "", ""], frozenset({1}))
    judged = score_ended(judge, ["a", "b", "c"], spoken)
    assert list(judged["guard/probe-texts/avoided_rate"]) == [1, 0, 0]
    assert judged["guard/probe-texts/mean"][1] == 0
    assert len(set(judged["guard/probe-texts/accuracy"])) == 1
    # Where no thought has ended there is still a score, and it is 0.
    none = Generated(["", ""], [], {}, [], ["", ""], frozenset({0, 1}))
    assert list(score_ended(Refusal(), ["a", "b"], none)["jailbreak/refusal_rate"]) == [0, 0]


def test_sets_of_prompts_tell_it_of_all_and_of_each(model: Any, prompts: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(f"w{40 + i} w3" for i in range(8)) + "\n")
    sets = {
        "some": Continuations(prompts, generation=FIVE, scorers={"always": Always()}),
        "plain": Continuations(other, generation=Generation(5), scorers={"always": Always()}),
    }
    found = by_name(PromptSets(sets).measure(model, thinking_tokenizer()))
    whole, some = found["report always/rate"], found["report always/rate/some"]
    assert whole.scored == (*(some.scored or ()), *(found["report always/rate/plain"].outputs or ()))
    assert found["report always/rate/unended"].n == found["report always/rate/unended/some"].n == some.n


def reference(model: Any, token: int) -> NDArray[np.float64]:
    """The logarithms of the next token's probabilities."""
    logits = 8 * model.lm_head.weight[:, model.axis[token]].detach().double().numpy()
    return np.asarray(logits - np.log(np.exp(logits).sum()), dtype=np.float64)


def test_the_divergence_is_of_answers_alone(tmp_path: Path) -> None:
    tokenizer = thinking_tokenizer()
    base, edited = chain_model(tokenizer), chain_model(tokenizer, noise=0.05)
    file = tmp_path / "harmless.txt"
    file.write_text("\n".join(f"w{20 + i} w{1 + i % 3}" for i in range(30)) + "\n")
    evaluator = Divergence(Continuations(file, generation=SIX), kept=66)
    evaluator.check()
    kept = tmp_path / "kept"
    kept.mkdir()
    before = by_name(evaluator.keep(base, tokenizer, kept))
    found = by_name(evaluator.measure_against(kept, edited, tokenizer))
    assert before.keys() == found.keys()

    def divergence(word: str) -> float:
        p, q = (reference(one, tokenizer.convert_tokens_to_ids(word)) for one in (base, edited))
        return float((np.exp(p) * (p - q)).sum())

    # Six tokens: a thought of four with two of the answer, or the answer with its end.
    read = {"w1": ["</think>", "w20"], "w3": ["w3", "w20", "w21"]}
    for half in ("report", "selection"):
        assert before[f"{half} divergence/kl"].scores.sum() == 0
        mean, first, unended = (found[f"{half} divergence/{name}"] for name in ("kl", "kl_first", "kl/unended"))
        assert {prompt.split()[1] for prompt in mean.inputs or ()} == {"w1", "w3"}
        np.testing.assert_array_equal(unended.scores, [float(one.endswith("w2")) for one in unended.inputs or ()])
        for place, prompt in enumerate(mean.inputs or ()):
            each = [divergence(word) for word in read[prompt.split()[1]]]
            assert mean.scores[place] == pytest.approx(np.mean(each), rel=1e-3)
            assert first.scores[place] == pytest.approx(each[0], rel=1e-3)
    assert set(found["report divergence/kl"].scored or ()) == {"w20 w21"}
    looked = evaluator.first_look()
    assert looked is not None
    assert looked.measure_against(kept, edited, tokenizer)


def test_a_divergence_without_any_answer_says_what_to_do(tmp_path: Path, model: Any) -> None:
    file = tmp_path / "harmless.txt"
    file.write_text("\n".join(f"w{20 + i} w2" for i in range(30)) + "\n")
    with pytest.raises(
        InputError, match=r"no thought ended within 6 tokens; allow more .*, or say model\.thinking=off"
    ):
        Divergence(Continuations(file, generation=SIX)).keep(model, thinking_tokenizer(), tmp_path)


def test_an_answer_that_is_begun_has_no_thought_to_strip(model: Any) -> None:
    begun = replace(FIVE, prefill="w20")
    with pytest.raises(InputError, match=r"begin with 'w20' have no thought .* take model\.thinking=off"):
        check_prompts(model, thinking_tokenizer(), ["w1"], begun)
    assert check_prompts(model, thinking_tokenizer("off"), ["w1"], begun) == 0


TASK = """
task: thinking
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "w20 w21"
generation_kwargs:
  until: ["w10", "w11"]
  max_gen_toks: 6
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


def test_lm_eval_reads_answers_and_is_given_the_system_prompt(tmp_path: Path, model: Any) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(f'{{"question": "w{40 + i} w{1 + i % 3}"}}\n' for i in range(6)))
    (folder / "thinking.yaml").write_text(TASK.format(data=data))
    tokenizer = thinking_tokenizer()
    found = by_name(LmEval(folder, chat=True).measure(model, tokenizer))
    exact, unended = found["report lm_eval/thinking/exact_match"], found["report lm_eval/thinking/unended"]
    assert exact.outputs == ("w20 w21", "", "w20 w21") * 2
    assert list(exact.scores) == [1, 0, 1] * 2
    assert list(unended.scores) == [0, 1, 0] * 2
    framed = copy.copy(tokenizer)
    set_framing(framed, Framing("w60", Thinking("strip")))
    with_system = by_name(LmEval(folder, chat=True).measure(model, framed))["report lm_eval/thinking/exact_match"]
    assert [text.split()[:2] for text in with_system.rendered or ()] == [["w50", "w60"]] * 6
    plain = by_name(LmEval(folder).measure(model, framed))
    assert plain["report lm_eval/thinking/exact_match"].outputs != exact.outputs
    assert "report lm_eval/thinking/unended" not in plain
