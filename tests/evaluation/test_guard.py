"""Guard models as judges, on tiny ones whose verdicts are read off their own logits, one pair at a time."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from made_metrics import assert_named_beforehand
from sklearn.metrics import cohen_kappa_score
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from evaluation.classifier import Classifier
from evaluation.judge import Guard, RefusedBy, SideBySide
from evaluation.judge.guard import _written
from evaluation.judge.guard_file import known_guards, read_guard
from evaluation.judge.guard_model import rendered
from evaluation.judge.side_by_side import kappa_scores
from surgery.errors import InputError

WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "Yes",
    "No",
    "Maybe",
    "safe",
    "unsafe",
    "user",
    "assistant",
    ":",
    "1",
    "2",
    "3",
]
TURNS = (
    "{% for turn in messages %}{{ turn['role'] }} : {{ turn['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)
NOUNS = [f"w{i}" for i in range(40)]
PROMPTS = [f"w{i} w{(i * 3) % 40}" for i in range(30)]
ANSWERS = [f"w{(i * 7) % 40} w{(i + 11) % 40} w{i}" for i in range(30)]
TEXT = "user : {prompt} assistant : {answer} :"


def save_guard(folder: Path, seed: int = 0, template: str | None = TURNS, positions: int = 64) -> Path:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS + NOUNS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)
    fast.chat_template = template
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(WORDS + NOUNS),
        max_position_embeddings=positions,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **sizes,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_guard(tmp_path_factory.mktemp("guard"))


def guard_file(folder: Path, name: str = "mine", **said: Any) -> str:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"version": 1, **said}, sort_keys=False))
    return str(path)


def next_token(model: Path, text: str) -> np.ndarray:
    """Probabilities of what comes after a text, without padding."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    with torch.no_grad():
        logits = LlamaForCausalLM.from_pretrained(model).eval()(**tokenizer(text, return_tensors="pt")).logits
    return logits[0, -1].double().softmax(-1).numpy()


@pytest.mark.parametrize("budget", [1, 8192])
def test_verdicts_are_the_likelier_of_two_words_and_what_is_neither_is_unparsed(
    model: Path, tmp_path: Path, budget: int
) -> None:
    tokens = {"tokens": {"unsafe": "Yes", "safe": "No"}, "least": 0.02}
    judge = Guard(guard_file(tmp_path, text=TEXT, verdict=tokens), model=str(model), tokens_per_batch=budget)
    judge.check()
    found = judge.score(PROMPTS, ANSWERS)
    expected = []
    assert_named_beforehand(judge, found)
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        p = next_token(model, f"user : {prompt} assistant : {answer} :")
        yes, no = p[WORDS.index("Yes")], p[WORDS.index("No")]
        expected.append("unparsed" if yes + no < 0.02 else "unsafe_rate" if yes >= no else "safe_rate")
    for name in ("unsafe_rate", "safe_rate", "unparsed"):
        assert found[f"guard/mine/{name}"].tolist() == [float(one == name) for one in expected]
        assert 0 < found[f"guard/mine/{name}"].sum() < len(PROMPTS)
    assert set(found) == {f"guard/mine/{name}" for name in ("unsafe_rate", "safe_rate", "unparsed")}


def test_the_guards_own_chat_template_is_used_and_its_reply_may_begin(model: Path, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "{prompt}"}, {"role": "assistant", "content": "{answer}"}]
    said = {"turns": turns, "begins": ": ", "verdict": {"tokens": {"unsafe": "unsafe", "safe": "safe"}, "least": 0}}
    judge = Guard(guard_file(tmp_path, **said), model=str(model))
    judge.check()
    found = judge.score(PROMPTS, ANSWERS)["guard/mine/unsafe_rate"]
    for index in range(5):
        p = next_token(model, f"user : {PROMPTS[index]} assistant : {ANSWERS[index]} assistant : :")
        assert found[index] == float(p[WORDS.index("unsafe")] >= p[WORDS.index("safe")])


def test_a_written_verdict_is_found_by_its_pattern_and_both_or_none_is_unparsed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ["Harmful response: YES", "harmful response: no", "I think so", "harmful response: yes or no: no", ""]

    def continued(model: Any, tokenizer: Any, rows: list[list[int]], settings: Any) -> Any:
        assert settings.max_new_tokens == 12
        return written[: len(rows)], [[] for _ in rows], {"tokens_per_batch": 1}

    monkeypatch.setattr("evaluation.judge.guard.continue_rows", continued)
    pairs = [
        {"unsafe": r"response:\s*yes", "safe": r"(?:response|no):\s*no"},
        {"refusal": "think", "answered": "harmful"},
    ]
    judge = Guard(guard_file(tmp_path, text=TEXT, verdict={"written": pairs, "max_new_tokens": 12}), model=str(model))
    found = judge.score(PROMPTS[:5], ANSWERS[:5])
    assert found["guard/mine/unsafe_rate"].tolist() == [1, 0, 0, 0, 0]
    assert found["guard/mine/safe_rate"].tolist() == [0, 1, 0, 0, 0]
    assert found["guard/mine/unparsed"].tolist() == [0, 0, 1, 1, 1]
    assert found["guard/mine/refusal_rate"].tolist() == [0, 0, 1, 0, 0]
    assert found["guard/mine/unparsed_refusal"].tolist() == [0, 0, 0, 0, 1]
    over = RefusedBy(judge).score(PROMPTS[:5], ANSWERS[:5])
    assert_named_beforehand(RefusedBy(judge), over)
    assert_named_beforehand(judge, found)
    assert over["guard/mine/overrefusal_rate"].tolist() == [0, 0, 1, 0, 0]
    assert over["guard/mine/overrefusal_unparsed"].tolist() == [0, 0, 0, 0, 1]


def test_what_a_guard_writes_is_its_own_greedy_continuation(model: Path, tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    own = LlamaForCausalLM.from_pretrained(model).eval()
    said = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        ids = tokenizer(TEXT.format(prompt=prompt, answer=answer), return_tensors="pt")["input_ids"]
        new = own.generate(ids, max_new_tokens=3, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        said.append(tokenizer.decode(new, skip_special_tokens=True))
    verdict = {"written": [{"unsafe": r"w\d*[13579]\b", "safe": r"^(?!.*w\d*[13579]\b)"}], "max_new_tokens": 3}
    judge = Guard(guard_file(tmp_path, text=TEXT, verdict=verdict), model=str(model))
    odd = [float(any(word[0] == "w" and int(word[1:]) % 2 for word in text.split())) for text in said]
    assert judge.score(PROMPTS, ANSWERS)["guard/mine/unsafe_rate"].tolist() == odd
    assert 0 < sum(odd) < len(odd)


def test_grades_are_a_mean_by_likelihood(model: Path, tmp_path: Path) -> None:
    verdict = {"grades": {"1": 0, "2": 0.5, "3": 1}, "least": 0}
    judge = Guard(guard_file(tmp_path, text=TEXT, verdict=verdict), model=str(model))
    found = judge.score(PROMPTS, ANSWERS)
    assert_named_beforehand(judge, found)
    for index in range(6):
        p = next_token(model, TEXT.format(prompt=PROMPTS[index], answer=ANSWERS[index]))
        one, two, three = (p[WORDS.index(word)] for word in "123")
        score = (0.5 * two + three) / (one + two + three)
        assert found["guard/mine/score"][index] == pytest.approx(score, abs=1e-5)
        assert found["guard/mine/unsafe_rate"][index] == float(score >= 0.5)


def test_prompt_and_answer_are_put_in_once_and_a_long_answer_loses_its_end(model: Path, tmp_path: Path) -> None:
    said = {"text": TEXT, "verdict": {"tokens": {"unsafe": "Yes", "safe": "No"}, "least": 0}}
    guard = read_guard(guard_file(tmp_path, **said))
    assert rendered(None, guard, "{answer}", "{prompt}") == "user : {answer} assistant : {prompt} :"  # type: ignore[arg-type]
    judge = Guard(guard_file(tmp_path, **said), model=str(model))
    long = " ".join(NOUNS * 3)
    found = judge.score([PROMPTS[0]], [long])
    assert found.batches["answers_cut"] == 1
    kept = " ".join((NOUNS * 3)[: 64 - 7])
    p = next_token(model, TEXT.format(prompt=PROMPTS[0], answer=kept))
    assert found["guard/mine/unsafe_rate"][0] == float(p[WORDS.index("Yes")] >= p[WORDS.index("No")])
    with pytest.raises(InputError, match="takes 64 tokens, which leaves no room for an answer"):
        judge.score([long], ["w1"])


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"text": TEXT}, "has no rule for its verdict; give verdict one of tokens, written, grades"),
        ({"text": TEXT, "verdict": {"tokens": {"a": "b"}}}, "has to tell two classes apart"),
        ({"text": "{prompt} :", "verdict": {"tokens": {"a": "b", "c": "d"}}}, "drops the answer: its template has no"),
        ({"text": "{answer} :", "verdict": {"tokens": {"a": "b", "c": "d"}}}, "drops the prompt: its template has no"),
        ({"verdict": {"tokens": {"a": "b", "c": "d"}}}, "needs either text or turns"),
        ({"text": TEXT, "verdict": {"written": [{"a": "(", "c": "d"}]}}, r"the pattern '\(' can't be read"),
        ({"text": TEXT, "verdicts": {}}, "has an unknown key 'verdicts'"),
    ],
)
def test_a_guard_that_can_not_be_used_is_one_line(tmp_path: Path, said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        Guard(guard_file(tmp_path, **said), model="never/loaded").check()
    assert "\n" not in str(error.value)


def test_a_chat_template_that_drops_the_answer_is_found_without_weights(tmp_path: Path) -> None:
    folder = save_guard(tmp_path / "deaf", template="{{ messages[0]['content'] }} assistant :")
    (folder / "model.safetensors").rename(tmp_path / "hidden.safetensors")
    (folder / "model.safetensors").write_bytes(b"")
    turns = [{"role": "user", "content": "{prompt}"}, {"role": "assistant", "content": "{answer}"}]
    verdict = {"tokens": {"unsafe": "Yes", "safe": "No"}}
    with pytest.raises(InputError, match="drops the answer: its chat template leaves it out"):
        Guard(guard_file(tmp_path, turns=turns, verdict=verdict), model=str(folder)).check()
    with pytest.raises(InputError, match="there is no guard 'llama'; it is one of harmbench, llama-guard-3"):
        Guard("llama").check()
    with pytest.raises(InputError, match="names no model"):
        Guard(guard_file(tmp_path, text=TEXT, verdict=verdict)).check()


def test_the_guards_that_come_along_can_be_read(model: Path) -> None:
    names = {"llama-guard-3", "llama-guard-4", "wildguard", "shieldgemma", "qwen3guard", "harmbench", "strongreject"}
    assert names <= set(known_guards())
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    content = "{{ turn['content'] if turn['content'] is string else turn['content'][0]['text'] }}"
    tokenizer.chat_template = "{% for turn in messages %}" + content + " | {% endfor %}"
    for name in known_guards():
        guard = read_guard(name)
        assert guard.pairs[0][:2] == ("unsafe", "safe")
        shown = rendered(tokenizer, guard, "the prompt of a person", "the answer of a model")
        assert shown.index("the prompt of a person") < shown.index("the answer of a model")
    for name, text, expected in (
        ("wildguard", "Harmful request: yes\nResponse refusal: no\nHarmful response: yes", ["unsafe", "answered"]),
        ("wildguard", "Harmful request: yes\nResponse refusal: yes\nHarmful response: no", ["safe", "refusal"]),
        ("qwen3guard", "Safety: Controversial\nCategories: PII\nRefusal: No", ["unsafe", "answered"]),
        ("qwen3guard", "Safety: Safe\nCategories: None\nRefusal: Yes", ["safe", "refusal"]),
        ("llama-guard-4", "\n\nunsafe\nS9", ["unsafe"]),
        ("llama-guard-4", "\n\nsafe", ["safe"]),
    ):
        assert [_written(text, pair) for pair in read_guard(name).verdict["written"]] == expected


def test_another_file_model_or_name_is_another_protocol(model: Path, tmp_path: Path) -> None:
    said = {"text": TEXT, "verdict": {"tokens": {"unsafe": "Yes", "safe": "No"}}}
    first = Guard(guard_file(tmp_path, **said), model=str(model))
    copied = save_guard(tmp_path / "copy")
    assert Guard(first.file, model=str(copied)).identity() == first.identity()
    others = [
        Guard(guard_file(tmp_path, "mine2", **{**said, "text": TEXT + " "}), model=str(model), name="mine"),
        Guard(first.file, model=str(save_guard(tmp_path / "other", seed=1))),
        Guard(first.file, model=str(model), name="yours"),
    ]
    identities = [json.dumps(one.identity(), sort_keys=True) for one in (first, *others)]
    assert len(set(identities)) == 4


def test_an_adapter_is_part_of_the_guard(model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    tuned = get_peft_model(
        LlamaForCausalLM.from_pretrained(model), LoraConfig(r=2, target_modules=["gate_proj"], init_lora_weights=False)
    )
    tuned.save_pretrained(tmp_path / "adapter")
    file = guard_file(tmp_path, text=TEXT, verdict={"grades": {"1": 0, "2": 0.5, "3": 1}, "least": 0})
    judge = Guard(file, model=str(model), adapter=str(tmp_path / "adapter"))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    with torch.no_grad():
        text = TEXT.format(prompt=PROMPTS[0], answer=ANSWERS[0])
        p = tuned.eval()(**tokenizer(text, return_tensors="pt")).logits[0, -1].double().softmax(-1).numpy()
    one, two, three = (p[WORDS.index(word)] for word in "123")
    found = judge.score(PROMPTS[:1], ANSWERS[:1])["guard/mine/score"][0]
    assert found == pytest.approx((0.5 * two + three) / (one + two + three), abs=1e-5)
    assert judge.identity() != Guard(file, model=str(model)).identity()
    assert found != Guard(file, model=str(model)).score(PROMPTS[:1], ANSWERS[:1])["guard/mine/score"][0]


def test_two_judges_side_by_side_tell_their_agreement(model: Path, tmp_path: Path) -> None:
    verdict = {"tokens": {"unsafe": "Yes", "safe": "No"}, "least": 0.02}
    judges = [
        Guard(guard_file(tmp_path, "a", text=TEXT, verdict=verdict), model=str(model)),
        Guard(guard_file(tmp_path, "b", text=TEXT, verdict=verdict), model=str(save_guard(tmp_path / "b", 4))),
    ]
    both = SideBySide(judges)
    both.check()
    found = both.score(PROMPTS, ANSWERS)
    assert_named_beforehand(both, found)
    said = [judge.main_verdicts(judge.score(PROMPTS, ANSWERS)) for judge in judges]
    assert found["guard/a~b/kappa"].mean() == pytest.approx(cohen_kappa_score(*said))
    assert found["guard/a~b/agreement"].mean() == np.mean([a == b for a, b in zip(*said, strict=True)])
    for judge in judges:
        for name, values in judge.score(PROMPTS, ANSWERS).items():
            assert found[name].tolist() == values.tolist()
    with pytest.raises(InputError, match="two or more of different names"):
        SideBySide([judges[0], judges[0]]).check()


def test_kappa_at_its_ends() -> None:
    assert kappa_scores(["a", "b"], ["a", "b"]).mean() == 1
    assert kappa_scores(["a", "b"], ["b", "a"]).mean() == pytest.approx(-1)
    # Two that say one thing of everything: nothing beyond chance is shown.
    assert kappa_scores(["a", "a"], ["a", "a"]).tolist() == [0, 0]


def test_a_text_classifier_reads_the_pair(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *NOUNS]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    labels = {0: "fine", 1: "bad"}
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(words), max_position_embeddings=40, id2label=labels, initializer_range=0.8, **sizes
    )
    own = BertForSequenceClassification(config).eval()
    own.save_pretrained(tmp_path)
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)})
    tokenizer.save_pretrained(tmp_path)
    with torch.no_grad():
        bad = [
            float(own(**tokenizer(prompt, answer, return_tensors="pt")).logits.softmax(-1)[0, 1])
            for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
        ]
    middle = float(np.median(bad))
    judge = Classifier(str(tmp_path), {"guard/bert/bad_rate": "bad"}, threshold=middle, pair=True)
    expected = [float(one >= middle) for one in bad]
    assert judge.score(PROMPTS, ANSWERS)["guard/bert/bad_rate"].tolist() == expected
    alone = Classifier(str(tmp_path), {"guard/bert/bad_rate": "bad"}, threshold=middle)
    assert alone.score(PROMPTS, ANSWERS)["guard/bert/bad_rate"].tolist() != expected
    assert alone.identity() != judge.identity()
