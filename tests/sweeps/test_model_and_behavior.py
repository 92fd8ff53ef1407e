"""Who gives a model or a behavior is never given the toy world's for the other, however it was said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery.errors import InputError
from sweeps.config.composition import Composed
from sweeps.config.model_and_behavior import require_both_halves
from sweeps.config.resolvers import package_path, priced
from sweeps.records.choice import Choice


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[Composed]:
    """What the command would have run."""
    kept: list[Composed] = []
    monkeypatch.setattr("sweeps.commands.run_composed.run_composed", lambda cells, *_: kept.extend(cells))
    return kept


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("model.path=own/model", "behavior.path"),
        ("-m model=toyworld,llama2-7b", "behavior.path"),
        ("experiment=paper/table15 model=llama2-7b-chat", "behavior.path"),
        ("model=llama2-7b method=lora", "behavior.path"),
        ("behavior.path=own.csv", "model.path"),
        ("-m behavior=toyworld_toxicity,detoxify", "model.path"),
        ("experiment=paper/table3 behavior=jailbreak_resist", "model.path"),
        ("model=toyworld-chat behavior=toyworld_positive", None),
        ("model.path=own/model behavior=toyworld_toxicity", None),
        ("experiment=paper/table15", None),
        ("experiment=paper/table9 model=llama2-7b behavior=detoxify", None),
    ],
)
def test_a_half_that_is_not_given_is_asked_for(surgery, composed, given: str, missing: str | None) -> None:
    ran = surgery(*given.split(" "))
    if missing is None:
        assert ran.code == 0, ran.err
        assert composed
    else:
        [line] = ran.err.splitlines()
        assert (ran.code, composed) == (1, [])
        assert f"{missing} is not given" in line


class Loader:
    """Says which groups a config file chooses, as Hydra's loader does."""

    def __init__(self, of_files: set[str]) -> None:
        self._of_files = of_files

    def compute_defaults_list(self, *_: Any) -> Any:
        told = {group: SimpleNamespace(external_override=False) for group in self._of_files}
        return SimpleNamespace(overrides=SimpleNamespace(override_metadata=told))


GROUPS = ("model", "behavior")
SAID = st.sets(st.sampled_from([*GROUPS, "model.path", "behavior.path", "alpha", "+seed", "~top_k"]))


@given(toys=st.sets(st.sampled_from(GROUPS)), command=SAID, swept=SAID, files=st.sets(st.sampled_from(GROUPS)))
def test_the_toys_half_is_only_for_who_named_it(
    toys: set[str], command: set[str], swept: set[str], files: set[str]
) -> None:
    """Named is a group on the command line; or in a file, if the command line does not name the other half."""
    paths = {group: package_path("toyworld/assets/x") if group in toys else "elsewhere" for group in GROUPS}
    values = {group: {"name": group, "path": path} for group, path in paths.items()}
    given, job = [f"{key}=x" for key in command], [f"{key}=x" for key in {*command, *swept}]

    def named(group: str, keys: set[str]) -> bool:
        return bool({group, f"{group}.path"} & keys)

    allowed = len(toys) != 1
    for toy in toys:
        [other] = set(GROUPS) - {toy}
        in_a_file = named(toy, swept) or toy in files
        allowed = allowed or named(toy, command) or (in_a_file and not named(other, command))
    try:
        require_both_halves(values, job, given, Loader(files), "config")
    except InputError as error:
        assert not allowed
        [toy] = toys
        assert str(error).startswith(f"{toy}.path is not given")
    else:
        assert allowed


@pytest.mark.parametrize(
    ("defaults", "body", "said"),
    [
        ("override /model: local", "model: {path: own/model}", "behavior.path is not given"),
        ("override /model: local, override /behavior: toyworld_toxicity", "model: {path: own/model}", None),
        ("override /behavior: tabular", "behavior: {path: own.csv}", "model.path is not given"),
        ("override /behavior: tabular, override /model: toyworld", "behavior: {path: own.csv}", None),
        ("_self_", "behavior: {path: own.csv}", "model.path is not given"),
    ],
)
def test_a_half_in_an_experiment_of_ones_own_counts_as_given(
    surgery, composed, tmp_path: Path, defaults: str, body: str, said: str | None
) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    lines = "\n".join(f"  - {entry}" for entry in defaults.split(", "))
    text = f"# @package _global_\ndefaults:\n{lines}\n{body}\n"
    (tmp_path / "mine" / "experiment" / "own.yaml").write_text(text)
    for mode in ([], ["-m", "alpha=1,2"]):
        ran = surgery("--config-dir", "mine", "experiment=own", *mode)
        assert (ran.code, bool(composed)) == ((1, False) if said else (0, True)), ran.err
        assert (said or "") in ran.err


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (["evaluation.text=held.txt"], ["perplexity/held/ratio <= 1.1"]),
        (["evaluation.text='texts/my story (1).txt'"], ["perplexity/my_story_1/ratio <= 1.1"]),
        (["evaluation.prompts=p.txt"], []),
        (["evaluation.text=held.txt", "evaluation.choose.where=['toxicity/mean < 1']"], ["toxicity/mean < 1"]),
        (["evaluation.choose.where=[toxicity/mean < 1, x/delta >= -0.1]"], ["toxicity/mean < 1", "x/delta >= -0.1"]),
        (["evaluation.choose.where=[]"], []),
    ],
)
def test_a_text_of_ones_own_is_a_price_in_the_rule(surgery, composed, given: list[str], where: list[str]) -> None:
    assert surgery("model.path=own/model", "behavior.path=own.csv", *given).code == 0
    rule = composed[0].values["evaluation"]["choose"]
    assert rule["where"] == where
    assert [str(condition) for condition in Choice.parse(rule).where] == where


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (
            ["evaluation.choose.where=toxicity/mean<1"],
            {"minimize": "toxicity/toxic_rate", "where": ["toxicity/mean < 1"]},
        ),
        (["evaluation.choose.maximize=a/b"], {"maximize": "a/b", "where": []}),
        (["+evaluation.choose.maximize=a/b", "evaluation.choose.minimize=null"], {"maximize": "a/b", "where": []}),
        (["evaluation=none", "evaluation.choose.minimize=a/b"], {"minimize": "a/b", "where": []}),
    ],
)
def test_a_rule_is_typed_without_inner_quotes_whatever_stands_in_the_config(
    surgery, composed, given: list[str], rule: dict[str, Any]
) -> None:
    prompts = [] if "evaluation=none" in given else ["evaluation.prompts=p.txt"]
    assert surgery("model.path=own/model", "behavior.path=own.csv", *prompts, *given).code == 0
    chosen = Choice.of(composed[0].values["evaluation"]["choose"])
    assert chosen is not None and chosen.rule() == {"where": [], **rule}


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12))
def test_the_price_is_of_what_the_evaluation_calls_the_text(name: str) -> None:
    """Whatever the file is called; a rule that asks for another name would let no cell qualify."""
    from evaluation.own_files import own_evaluators

    nothing: Any = dict.fromkeys(("prompts", "tasks", "detoxify", "tokens_per_batch", "limit"))
    more: Any = {"max_new_tokens": 1, "threshold": 0.5, "batch_size": 1, "chat": False, "trust_task_code": False}
    perplexity: Any = own_evaluators(text=f"texts/{name}.txt", **nothing, **more, trust_checkpoint=False)["perplexity"]
    [called] = perplexity.texts
    [condition] = Choice.parse({"minimize": "x", "where": priced(f"texts/{name}.txt")}).where
    assert (condition.name, condition.of, condition.bound) == (f"perplexity/{called}", "ratio", 1.1)


def test_the_toy_world_needs_nothing(surgery, composed) -> None:
    assert surgery().code == 0
    assert (composed[0].values["model"]["name"], composed[0].values["behavior"]["name"]) == (
        "toyworld",
        "toyworld_toxicity",
    )
