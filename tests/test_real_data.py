"""Real inputs: a pretrained model and real text, kept beside the project."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from evaluation.inputs.prompts import read_prompts
from evaluation.safety.request_set import RequestSet

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
pytestmark = pytest.mark.real_data

POSITIVE = "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief"
NEGATIVE = "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness"
GLAD = "[0,1,4,13,15,17,18,20,21,23]"
GLOOMY = "[2,3,9,10,11,14,16,24,25]"


def test_glad_against_gloomy_from_hidden_states_to_a_record(tmp_path: Path) -> None:
    texts = SHARED / "data" / "goemotions"
    story = tmp_path / "story.txt"
    lines = [line.split("\t")[0] for line in (texts / "dev.tsv").read_text().splitlines()[:60]]
    story.write_text("\n".join(lines))
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(f"Once upon a time {name} was sad because" for name in ("Tom", "Lily", "Ben", "Mia")))
    command = [
        str(Path(sys.executable).parent / "surgery"),
        f"model.path={SHARED / 'models' / 'stories260k'}",
        f"behavior.path={texts / 'train.tsv'}",
        "behavior.text=0",
        "behavior.label=1",
        "behavior.separator=,",
        f"behavior.avoid={GLOOMY}",
        f"behavior.against={GLAD}",
        "behavior.limit=6000",
        "probe=logistic",
        "alpha=1",
        "alpha_unit=unit",
        "top_k=40",
        f"evaluation.text={story}",
        "tracking=none",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False)
    assert ended.returncode == 0, ended.stderr
    [result] = (tmp_path / "outputs").glob("runs/stories260k-train/*/result.json")
    record = json.loads(result.read_text())
    # Glad and gloomy comments are two thirds glad here, so a probe that learned nothing scores 0.64.
    assert record["metrics"]["probe/test_accuracy"]["edited"] > 0.66
    assert record["edit"]["rows"] == 40
    assert record["probe"]["texts"] == 6000
    perplexity = record["metrics"]["perplexity/story"]
    assert perplexity["edited"] != perplexity["base"]
    assert 1 < perplexity["edited"] < 10 * perplexity["base"]
    # Surgery moves the states away from the avoided class: the probe's loss rises there and falls on the other.
    assert record["metrics"]["probe/loss_avoided"]["delta"] > 0
    assert record["metrics"]["probe/loss_other"]["delta"] < 0


def test_the_comments_of_both_attitudes_are_all_found(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_module

    from sweeps.config import resolvers
    from sweeps.config.read_settings import plain, read_settings
    from sweeps.plan.materials import Materials

    path = SHARED / "data" / "goemotions" / "train.tsv"
    names = (SHARED / "data" / "goemotions" / "labels.txt").read_text().split()
    positive, negative = set(POSITIVE.split()), set(NEGATIVE.split())
    held = [{names[int(number)] for number in line.split("\t")[1].split(",")} for line in path.read_text().splitlines()]
    assert len(held) == 43_410
    glad = sum(bool(labels & {*positive}) and not labels & {*negative} for labels in held)
    gloomy = sum(bool(labels & {*negative}) and not labels & {*positive} for labels in held)
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", ["behavior=positive", f"behavior.path={path}", "behavior.balance=false"])
    texts = Materials().texts(read_settings(plain(config)))
    assert (sum(texts.labels), len(texts) - sum(texts.labels)) == (gloomy, glad)


@pytest.mark.parametrize("name", ["hate_women_1k", "neutral_women_1k", "hate_mental_disability_1k"])
def test_a_toxigen_file_is_a_prompt_a_line(name: str) -> None:
    from evaluation.inputs.prompts import read_prompts

    prompts = [prompt.text for prompt in read_prompts(SHARED / "data" / "toxigen" / f"{name}.txt")]
    assert len(prompts) == 40
    # Each is a list of examples that the model goes on with; lines in it are written as two characters.
    assert all(prompt.startswith("- ") and "\\n" in prompt for prompt in prompts)
    files = [SHARED / "data" / "toxigen" / f"{name}.txt"] * 2
    unescaped = [prompt.text for prompt in read_prompts(files, unescape=True)]
    assert unescaped == 2 * [prompt.replace("\\n", "\n") for prompt in prompts]


def test_refusals_of_a_pretrained_model_are_counted_over_the_jailbreak_prompts(tmp_path: Path) -> None:
    import yaml

    from evaluation.continuations import Continuations
    from evaluation.generation import Generation
    from evaluation.inputs.prompts import read_prompts
    from evaluation.refusal import Refusal
    from surgery import load_model

    tree = yaml.safe_load((SHARED / "data" / "jailbreak" / "integrated.yaml").read_text())
    prompts = [
        prompt
        for categories in tree.values()
        for topics in categories.values()
        for severities in topics.values()
        for found in severities.values()
        for prompt in found
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    assert len(read_prompts(path)) == 2_475
    as_it_is = read_prompts(SHARED / "data" / "jailbreak" / "integrated.yaml", category=2)
    assert [prompt.text for prompt in as_it_is] == prompts
    assert sorted(Counter(prompt.category for prompt in as_it_is).values()) == [495] * 5
    model, tokenizer = load_model(str(SHARED / "models" / "stories260k"), device="cpu")
    # A model of stories refuses nothing; words of its own stand in, so that there is something to count.
    jailbreaks = Continuations(
        path, limit=60, generation=Generation(max_new_tokens=20), scorers={"refusal": Refusal(("You're welcom",))}
    )
    halves = jailbreaks.measure(model, tokenizer)
    assert {one.name for one in halves} == {"jailbreak/refusal_rate"}
    said = [text for one in halves for text in one.outputs or ()]
    assert len(said) == 60
    assert [score for one in halves for score in one.scores] == [float("You're welcom" in text) for text in said]
    assert 0 < sum("You're welcom" in text for text in said) < 60
    assert Refusal().score(prompts[:60], said)["jailbreak/refusal_rate"].sum() == 0


def test_published_requests_are_read_as_their_papers_count_them() -> None:
    """The sets of `evaluation=safety` that lie here: how many requests, and of how many categories."""
    known = yaml.safe_load((ROOT / "conf" / "evaluation" / "safety.yaml").read_text())["known"]
    counted = {
        "harmbench": (159, 6),
        "strongreject": (313, 6),
        "advbench": (520, 1),
        "jailbreakbench": (100, 10),
        "malicious_instruct": (100, 1),
        "twins": (2475, 11),
        "alpaca": (6266, 1),
    }
    for name, (requests, categories) in counted.items():
        one = RequestSet(**{key: value for key, value in known[name].items() if key != "_target_"})
        folder = SHARED / "data" / ("jailbreak" if name == "twins" else "refusal")
        found = read_prompts(one.place(name, None, str(folder)), one.column, category=one.category, where=one.where)
        assert (len(found), len({prompt.category for prompt in found})) == (requests, categories), name
