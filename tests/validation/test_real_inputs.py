"""The recipe and the judges on the data kept beside the project."""

import json
from collections import Counter
from pathlib import Path

import pytest

from evaluation.inputs.prompts import halves
from validation import recipe
from validation.agreement import agreements

SHARED = Path(__file__).parents[3] / "shared"
pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    recipe.make(str(SHARED / "data"), folder)
    return folder


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_prompts_are_the_most_toxic_by_their_own_score_and_halved(inputs: Path) -> None:
    rows = [json.loads(line) for line in (SHARED / "data" / "rtp" / "prompts_4000.jsonl").open(encoding="utf-8")]
    # Perspective scored a few continuations not at all; their prompts are left out.
    scored = [row for row in rows if row["prompt"]["toxicity"] and row["continuation"]["toxicity"] is not None]
    score = {row["prompt"]["text"]: row["prompt"]["toxicity"] for row in scored}
    parts = {
        half: [str(row["prompt"]) for row in read(inputs / f"prompts_{half}.jsonl")] for half in ("report", "selection")
    }
    chosen = {*parts["report"], *parts["selection"]}
    assert {half: len(part) for half, part in parts.items()} == {"report": 200, "selection": 200}
    assert min(score[prompt] for prompt in chosen) >= max(score[prompt] for prompt in score if prompt not in chosen)
    every = sorted(chosen)
    assert {prompt for prompt, half in zip(every, halves(every), strict=True) if half == "report"} == {*parts["report"]}


def test_no_probe_text_is_of_a_prompt(inputs: Path) -> None:
    prompts = [row["prompt"] for name in ("report", "selection") for row in read(inputs / f"prompts_{name}.jsonl")]
    texts = [str(row["text"]) for row in read(inputs / "probe_rtp.jsonl")]
    assert not [text for text in texts if text.startswith(tuple(map(str, prompts)))]


@pytest.mark.parametrize("name", ["rtp", "continuations", "paradetox", "goemotions", "first_person"])
def test_probe_texts_are_as_many_of_each_class(inputs: Path, name: str) -> None:
    labels = Counter(row["label"] for row in read(inputs / f"probe_{name}.jsonl"))
    assert labels == {1: recipe.PROBE_TEXTS, 0: recipe.PROBE_TEXTS}


def test_prompts_about_oneself_are_of_other_comments_than_the_probes(inputs: Path) -> None:
    prompts = [str(row["prompt"]) for row in read(inputs / "prompts_first_person.jsonl")]
    texts = {row["label"]: [] for row in read(inputs / "probe_first_person.jsonl")}
    for row in read(inputs / "probe_first_person.jsonl"):
        texts[row["label"]].append(str(row["text"]))
    assert len(set(prompts)) == 300
    assert all(len(prompt.split()) == 5 and prompt.startswith(("I", "My")) for prompt in prompts)
    comments = [line.split("\t")[0] for line in (SHARED / "data" / "goemotions" / "train.tsv").open(encoding="utf-8")]
    assert all(any(c.startswith(p) and c not in texts[1] for c in comments) for p in prompts)
    assert not [text for text in texts[0] if {*text.lower().replace("’", " ").replace("'", " ").split()} & {"i", "my"}]


def test_tasks_are_lm_evals_own_on_local_questions(inputs: Path) -> None:
    from evaluation.lm_eval_tasks import LmEval

    tasks = LmEval(["piqa", "lambada", "arc_easy"], folder=inputs / "tasks", sampled=5)
    tasks.check()
    assert tasks.identity()["data_files"]
    tasks.prepare()


def test_jailbreak_prompts_are_a_fixed_part_with_all_categories(inputs: Path) -> None:
    told, selected = (read(inputs / f"{name}.jsonl") for name in ("jailbreak", "jailbreak_selection"))
    assert len(told) == 50
    assert len({row["category"] for row in told}) == 5
    assert not {row["prompt"] for row in told} & {row["prompt"] for row in selected}


def test_the_judges_agree_with_perspective_as_far_as_was_seen() -> None:
    told = agreements(SHARED / "data" / "rtp" / "prompts_4000.jsonl", SHARED / "models" / "judges")
    found = {one.judge: one for one in told}
    # 0.907 and 0.886 on another part of the same data (4,968 continuations).
    assert found["tox_block"].auc == pytest.approx(0.907, abs=0.01)
    assert found["toxic_comment_classifier"].auc == pytest.approx(0.886, abs=0.01)
    assert found["tox_block"].n == 3_973
    at = {(one.judge, one.threshold): one.agree for one in told}
    assert all(at[judge, 0.2] > at[judge, 0.5] for judge in found)


def test_the_judges_score_as_the_example_beside_their_weights_does() -> None:
    import importlib.util

    import numpy as np

    from validation.judge import BiLSTM

    path = SHARED / "models" / "judges" / "bilstm_judge.py"
    spec = importlib.util.spec_from_file_location("bilstm_judge", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    texts = ["you are an idiot", "thank you so much", "", "What a lovely day! You stupid, stupid fool."]
    for name, judge in (("tox_block", example.tox_block()), ("toxic_comment_classifier", example.tcc())):
        np.testing.assert_allclose(BiLSTM(path.parent, name).probabilities(texts), judge(texts)[:, 0], rtol=1e-5)
