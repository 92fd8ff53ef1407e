"""`evaluation=safety`: published requests put plainly and under attack; which half, which file, which name."""

import csv
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.continuations import Continuations
from evaluation.generation import Generation, check_prompts, generate
from evaluation.grouped_prompts import PromptSets
from evaluation.measurements.measurement import Measurement
from evaluation.refusal import Overrefused, Refusal
from evaluation.safety.request_set import RequestSet
from evaluation.safety.safety import safety_evaluators
from surgery.errors import InputError

from .conftest import make_model
from .test_generation import plain_greedy

FOUR = Generation(max_new_tokens=4)
PREFILL = "w50 w51"
WRAPPER = "w40 w41 {prompt} w42"
TEMPLATE = "<s>{% for m in messages %}w20 {{ m['content'] }}{% endfor %}{% if add_generation_prompt %} w21 {% endif %}"
HARMFUL = RequestSet(harmful=True, column="Behavior", category="kind", names=("harm.csv",), had="harm.csv at a site")
HARMLESS = RequestSet(harmful=False, names=("kind.txt",), had="kind.txt at a site")


def requests(first: int, count: int) -> list[str]:
    return [f"w{i % 60} w{(i * 7 + 3) % 60}" for i in range(first, first + count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "harm.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Behavior", "kind"])
        rows.writerows([text, f"Kind {i % 2}"] for i, text in enumerate(requests(0, 24)))
    (tmp_path / "other.txt").write_text("\n".join(requests(12, 20)))
    (tmp_path / "kind.txt").write_text("\n".join(requests(30, 22)))
    return tmp_path


@pytest.fixture
def made(folder: Path) -> Callable[..., dict[str, Any]]:
    known = {"harm": HARMFUL, "other": RequestSet(harmful=True, names=("other.txt",)), "kind": HARMLESS}

    def make(more: dict[str, RequestSet] | None = None, **given: Any) -> dict[str, Any]:
        options = {
            "sets": ["harm", "other", "kind"],
            "files": {},
            "folder": str(folder),
            "variants": ["plain", "prefill", "wrapped"],
            "prefill": PREFILL,
            "wrapper": WRAPPER,
            "generation": FOUR,
            "phrases": ["w1"],
        }
        return safety_evaluators(known=known | (more or {}), **(options | given))  # type: ignore[arg-type]

    return make


def by_name(measured: list[Measurement], half: str = "report") -> dict[str, Measurement]:
    return {one.name: one for one in measured if one.half == half}


def test_a_prefilled_answer_is_gone_on_with(model: Any, tokenizer: Any) -> None:
    prompts = requests(0, 6)
    settings = replace(FOUR, prefill=PREFILL)
    assert generate(model, tokenizer, prompts, settings).texts == [
        plain_greedy(model, tokenizer, f"{prompt}\n{PREFILL}", 4) for prompt in prompts
    ]
    tokenizer.chat_template = TEMPLATE
    chatted = generate(model, tokenizer, prompts, replace(settings, chat=True))
    assert chatted.shown == [f"<s>w20 {prompt} w21 {PREFILL}" for prompt in prompts]
    assert chatted.texts == [plain_greedy(model, tokenizer, text.removeprefix("<s>"), 4) for text in chatted.shown]
    assert "prefill" not in FOUR.identity()
    assert settings.identity() == FOUR.identity() | {"prefill": PREFILL}


@pytest.mark.parametrize("chat", [True, False])
def test_a_prompt_too_long_is_cut_and_what_is_prefilled_stays(tokenizer: Any, chat: bool) -> None:
    tokenizer.chat_template = TEMPLATE
    model, settings = make_model(positions=16), replace(FOUR, prefill=PREFILL, chat=chat)
    long = " ".join(f"w{i}" for i in range(30))
    assert check_prompts(model, tokenizer, [long, "w1"], settings) == 1
    [shown, _] = generate(model, tokenizer, [long, "w1"], settings).shown
    # 16 tokens: four are new, two prefilled, and a BOS and what the template writes.
    kept = 7 if chat else 9
    words = " ".join(f"w{i}" for i in range(30 - kept, 30))
    assert shown.split() == (f"<s>w20 {words} w21 {PREFILL}" if chat else f"{words} {PREFILL}").split()
    with pytest.raises(
        InputError, match=f"what stands beside a prompt, '{PREFILL}' among it, takes {3 + 2 * chat} tokens"
    ):
        check_prompts(make_model(positions=4 + 3 + 2 * chat), tokenizer, ["w1"], settings)


def test_an_attack_is_shown_to_the_model_and_not_to_the_judge(model: Any, tokenizer: Any, folder: Path) -> None:
    read: list[tuple[list[str], list[str]]] = []

    class Reads(Refusal):
        def score(self, prompts: Any, continuations: Any) -> dict[str, Any]:
            read.append((list(prompts), list(continuations)))
            return super().score(prompts, continuations)

    plain = Continuations(folder / "kind.txt", generation=replace(FOUR, prefill=PREFILL), scorers={"judge": Reads()})
    attacked = replace(plain, wrapper=WRAPPER)
    [one, _] = attacked.measure(model, tokenizer)
    [(asked, answers)] = read
    assert asked == requests(30, 22)
    shown = [WRAPPER.replace("{prompt}", prompt) for prompt in asked]
    assert answers == [
        f"{PREFILL} {plain_greedy(model, tokenizer, f'{text}{chr(10)}{PREFILL}', 4)}".rstrip() for text in shown
    ]
    assert set(one.inputs or ()) <= set(asked)
    assert set(one.rendered or ()) <= {f"{text}\n{PREFILL}" for text in shown}
    assert [(s.id, s.half) for s in attacked.samples()] == [(s.id, s.half) for s in plain.samples()]
    assert attacked.identity() == plain.identity() | {"wrapper": WRAPPER}
    with pytest.raises(InputError, match=r"a wrapper holds \{prompt\} once"):
        replace(plain, wrapper="no place").check()


def test_a_prompts_own_hash_tells_its_half_and_whether_it_is_drawn(folder: Path) -> None:
    one = Continuations(folder / "harm.csv", column="Behavior", each_alone=True)
    other = Continuations(folder / "other.txt", each_alone=True)
    halves = {sample.text: sample.half for sample in (*one.samples(), *other.samples())}
    assert len(halves) == 32
    assert halves == {
        text: "selection" if sha256(f"0\n{text}".encode()).digest()[0] % 2 else "report" for text in halves
    }
    assert {sample.text: sample.half for sample in one.samples()}.items() <= halves.items()
    ranked = sorted(requests(0, 24), key=lambda text: sha256(f"drawn\n{text}".encode()).hexdigest())
    for limit in (5, 12, 100):
        drawn = replace(one, limit=limit).samples()
        assert [sample.text for sample in drawn] == [text for text in requests(0, 24) if text in ranked[:limit]]
        assert all(halves[sample.text] == sample.half for sample in drawn)
    plain = Continuations(folder / "other.txt")
    assert other.identity() == plain.identity() | {"each_alone": True}
    with pytest.raises(InputError, match="limit is 0"):
        replace(one, limit=0).check()


def test_metrics_are_of_all_sets_of_each_and_of_its_categories(model: Any, tokenizer: Any, made: Any) -> None:
    evaluators = made()
    assert list(evaluators) == [
        *("refusal", "overrefusal", "refusal_prefill", "overrefusal_prefill", "refusal_wrapped", "overrefusal_wrapped")
    ]
    measured = [one for evaluator in evaluators.values() for one in evaluator.measure(model, tokenizer)]
    assert len({(one.name, one.half) for one in measured}) == len(measured)
    found = by_name(measured)
    for variant in ("", "/prefill", "/wrapped"):
        whole = found[f"jailbreak/refusal_rate{variant}"]
        harm, other = (found[f"jailbreak/refusal_rate{variant}/{name}"] for name in ("harm", "other"))
        assert whole.scores.tolist() == [*harm.scores, *other.scores]
        for one in (harm, other):
            assert one.scores.tolist() == [float("w1" in text) for text in one.outputs or ()]
            assert all(text.startswith(PREFILL) is (variant == "/prefill") for text in one.outputs or ())
        kinds = [found[f"jailbreak/refusal_rate{variant}/harm/kind_{i}"] for i in range(2)]
        assert sum(one.n for one in kinds) == harm.n
        assert np.mean(harm.scores) == pytest.approx(np.mean([s for one in kinds for s in one.scores]))
        assert {text for one in kinds for text in one.inputs or ()} == set(harm.inputs or ())
        # The paper's list beside it, of each set too.
        paper = found[f"jailbreak_paper/refusal_rate{variant}/harm"]
        assert paper.scores.tolist() == [float(Refusal().refuses(text)) for text in paper.outputs or ()]
        assert found[f"jailbreak/overrefusal_rate{variant}"].n == found[f"jailbreak/overrefusal_rate{variant}/kind"].n
    assert 0 < found["jailbreak/refusal_rate"].summary < 1
    # Requests that stand in two sets are of one half in both.
    report, selection = by_name(measured), by_name(measured, "selection")
    texts = [set(half["jailbreak/refusal_rate"].inputs or ()) for half in (report, selection)]
    assert not texts[0] & texts[1]


def test_one_chooses_sets_variants_and_how_many(model: Any, tokenizer: Any, made: Any) -> None:
    evaluators = made(sets="harm, kind", variants="prefill", limit=20, harmless_prompts="kind", divergence_tokens=3)
    assert list(evaluators) == ["divergence", "refusal_prefill", "overrefusal_prefill"]
    for evaluator in evaluators.values():
        evaluator.check()
    measured = evaluators["refusal_prefill"].measure(model, tokenizer)
    assert sum(one.n for one in measured if one.name == "jailbreak/refusal_rate/prefill") == 20
    assert evaluators["divergence"].answers.generation == replace(FOUR, max_new_tokens=3)
    assert {one.name for one in measured} == {
        f"{name}/prefill{ending}"
        for name in ("jailbreak/refusal_rate", "jailbreak_paper/refusal_rate")
        for ending in ("", "/harm", *["/harm/kind_0", "/harm/kind_1"] * (name == "jailbreak/refusal_rate"))
    }
    assert set(made()["refusal_wrapped"].sets) == {"harm", "other"}
    in_an_attack = {"other": RequestSet(harmful=True, names=("other.txt",), variants=("plain",))}
    assert set(made(more=in_an_attack)["refusal_wrapped"].sets) == {"harm"}
    assert evaluators["refusal_prefill"].identity() != made(variants="prefill")["refusal_prefill"].identity()


def test_the_modern_list_is_the_default_and_told_whole_of_all_sets(model: Any, tokenizer: Any, made: Any) -> None:
    [refusal, _] = made(phrases="modern", variants="plain").values()
    names = {one.name for one in refusal.measure(model, tokenizer)}
    assert {"jailbreak/partial_rate", "jailbreak/refused_at_start", "jailbreak/refused_anywhere"} <= names
    assert "jailbreak/partial_rate/harm" not in names
    [refusal, harmless] = made(phrases="paper", variants="plain").values()
    assert {one.name.split("/")[0] for one in refusal.measure(model, tokenizer)} == {"jailbreak"}
    assert Overrefused("paper", name="x").identity() != Overrefused("paper").identity()
    assert set(harmless.sets["kind"].scorers) == {"refusal"}


def test_without_a_chat_template_it_is_said_what_is_done(model: Any, tokenizer: Any, made: Any) -> None:
    [refusal, _] = made(variants="plain").values()
    said = "the model is given requests as they are, without a chat template, to go on with"
    assert refusal.check_prompts(model, tokenizer) == [said]
    tokenizer.chat_template = TEMPLATE
    assert refusal.check_prompts(model, tokenizer) == [
        f"{said}, though its tokenizer has one: model.chat=true puts them into it"
    ]
    [refusal, _] = made(variants="plain", generation=replace(FOUR, chat=True)).values()
    assert refusal.check_prompts(model, tokenizer) == []


def test_a_file_is_the_one_given_else_that_in_the_folder_else_the_hubs(folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "sets" / "raw"
    below.mkdir(parents=True)
    (below / "harm.csv").write_text("Behavior,kind\n")
    hub = replace(HARMFUL, hub="hf://datasets/a/b@c/d.csv")
    assert hub.place("harm", "x.csv", str(folder)) == "x.csv"
    assert hub.place("harm", None, str(tmp_path / "sets")) == str(below / "harm.csv")
    assert hub.place("harm", None, str(below.parent / "raw")) == str(below / "harm.csv")
    assert replace(hub, names=("none.csv",)).place("harm", None, str(folder)) == hub.hub
    ways = (
        "get harm.csv at a site and say evaluation.files.harm=FILE (or evaluation.folder=FOLDER for several sets), or "
        "leave harm out of evaluation.sets"
    )
    with pytest.raises(InputError) as nowhere:
        HARMFUL.place("harm", None, None)
    assert str(nowhere.value) == f"the set harm is on no hub; {ways}"
    with pytest.raises(InputError, match="no folder"):
        HARMFUL.place("harm", None, str(tmp_path / "not there"))
    (tmp_path / "sets" / "harm.csv").write_text("Behavior,kind\n")
    with pytest.raises(InputError, match=r"holds 2 files that could be the set harm.*say which with evaluation\.files"):
        HARMFUL.place("harm", None, str(tmp_path / "sets"))
    # The hub can't be reached in the tests: one sentence, with both ways out.
    with pytest.raises(InputError) as unreached:
        Continuations(str(hub.hub), source=hub.ways_out("harm")).check()
    assert "could not be fetched" in str(unreached.value)
    assert str(unreached.value).endswith(ways)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sets": ["harn"]}, "evaluation.sets names 'harn', which is none; did you mean 'harm'?"),
        ({"sets": []}, "evaluation.sets is empty"),
        (
            {"variants": "base64"},
            "evaluation.variants names 'base64', which is none; there are plain, prefill, wrapped",
        ),
        ({"limit": 19}, r"kind.txt gives 19 prompts \(the limit is 19\); at least 20 are needed"),
        ({"generation": Generation(max_new_tokens=0)}, "max_new_tokens=0"),
        ({"harmless_prompts": "nothing.txt"}, "'nothing.txt' is not there"),
    ],
)
def test_what_can_not_be_measured_is_refused(made: Any, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        for evaluator in made(**given).values():
            evaluator.check()


def test_sets_under_no_name_are_as_they_were(folder: Path) -> None:
    """Records of earlier versions are of `PromptSets` without what is new."""
    one = {"kind": Continuations(folder / "kind.txt")}
    assert set(PromptSets(one).identity()) == {"kind", "sets"}
    assert set(PromptSets(one, under="x", each=("a",)).identity()) == {"kind", "sets", "under", "each"}
