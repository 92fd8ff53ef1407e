"""What is a text on the command line is taken as it is written, whatever Hydra's grammar would make of it."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sweeps.config import resolvers
from sweeps.config.chosen_config import ChosenConfig
from sweeps.config.command_line import completed
from sweeps.config.key_types import declared_type
from sweeps.config.written_values import as_written, quoted, source

# No control characters: a name that holds them can't be typed. No surrogates: they are what is not UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
SIGNS = st.text(" =()#'\"&,~$[]{}%\\\\:;|?*!@+-._a1é日😀", min_size=1, max_size=8)
NUMBERS = st.from_regex(r"[-+]?(0[xo])?[0-9_]{1,6}(\.[0-9]*)?(e[0-9]+)?", fullmatch=True)
WORDS = st.sampled_from(["true", "False", "off", "no", "null", "inf", "nan", "1:30", "0x10", "007", "1_5", "1e3"])


def taken(override: str) -> Any:
    """What a key gets of an override, with everything in ${...} filled in."""
    value = OverridesParser.create().parse_override(override).value()
    return OmegaConf.to_container(OmegaConf.create({"key": value}), resolve=True)["key"]


def written_by_hand(text: str) -> bool:
    """Whether it is for Hydra: in quotation marks as a whole, or with a ${...}."""
    return text.strip()[:1] in ("'", '"') or "${" in text


@settings(max_examples=150, deadline=None)
@given(name=TEXTS | SIGNS | NUMBERS | WORDS)
@example(name="1_5")
@example(name="it's")
@example(name="a\\")
@example(name="\\'")
def test_a_name_is_taken_as_it_is_written(name: str) -> None:
    assume(not written_by_hand(name) and name != "???")  # what OmegaConf has for a key that is not given
    override = as_written(f"sweep={name}", declared_type, may_sweep=True)
    assert taken(override) == name
    # The command that a record holds is the override; typed again, it means the same.
    assert taken(as_written(override, declared_type, may_sweep=False)) == name


@settings(max_examples=100, deadline=None)
@given(text=TEXTS | SIGNS | st.text("${}\\'ab:", min_size=1, max_size=8))
def test_a_quoted_text_means_itself(text: str) -> None:
    assume(text != "???")
    assert taken(f"key={quoted(text)}") == text
    assert taken(f"key={source(text)}") == text


@settings(max_examples=60, deadline=None)
@given(names=st.lists(TEXTS | SIGNS | NUMBERS, min_size=2, max_size=3))
@example(names=["\\", "?"])
@example(names=["C:\\", "0"])
def test_each_part_of_a_sweep_is_taken_as_it_is_written(names: list[str]) -> None:
    assume(not any(written_by_hand(name) or "," in name or name != name.strip() or name == "???" for name in names))
    override = as_written(f"behavior.path={','.join(names)}", declared_type, may_sweep=True)
    [jobs] = BasicSweeper.split_arguments([OverridesParser.create().parse_override(override)], None)
    assert [taken(job) for [job] in jobs] == names


@settings(max_examples=60, deadline=None)
@given(name=TEXTS | SIGNS | NUMBERS | WORDS)
def test_a_file_that_is_there_is_taken_whatever_its_name(tmp_path_factory: Any, name: str) -> None:
    assume("/" not in name and len(name.encode()) < 200 and name not in (".", ".."))
    folder = tmp_path_factory.mktemp("there")
    (folder / name).write_text("text,label\n")
    for may_sweep in (False, True):
        override = as_written(f"behavior.path={folder}/{name}", declared_type, may_sweep)
        assert taken(override) == f"{folder}/{name}"


@pytest.mark.parametrize(
    ("argument", "means"),
    [
        ("sweep=20261125", "20261125"),
        ("sweep=true", "true"),
        ("sweep=null", "null"),
        ("sweep=a,b", "a,b"),
        ("model.revision=1234567", "1234567"),
        ("model.revision=null", None),
        ("model.revision='null'", "null"),
        ("behavior.label=2", 2),
        ("behavior.label=-1", -1),
        ("behavior.label=007", "007"),
        ("behavior.label=1_5", "1_5"),
        ("behavior.label=1e3", "1e3"),
        ("behavior.label=true", "true"),
        ("behavior.text=[a (1),2024]", ["a (1)", "2024"]),
        ("behavior.columns=[1,2]", ["1", "2"]),
        ("behavior.avoid=[1,01,yes,true,0.5]", [1, "01", "yes", True, 0.5]),
        ("behavior.separator=,", ","),
        ("behavior.separator=;", ";"),
        ("behavior.path='texts (1).csv'", "texts (1).csv"),
        ("composition=[/a (1)/b,'c,d']", ["/a (1)/b", "c,d"]),
        ("composition=[]", []),
        ("tracking.tags=[1,v 2]", ["1", "v 2"]),
        ("tracking.project=007", "007"),
        ("alpha=3", 3),
        ("quick=true", True),
        ("region.layers=[1,2]", [1, 2]),
    ],
)
def test_only_texts_are_texts(argument: str, means: object) -> None:
    assert taken(as_written(argument, declared_type, may_sweep=False)) == means


def test_in_a_sweep_commas_part_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_written("behavior.path=a,b", declared_type, may_sweep=True) == "behavior.path=a,b"
    assert as_written("behavior.path=a,b", declared_type, may_sweep=False) == "behavior.path='a,b'"
    Path("a,b").write_text("")
    assert as_written("behavior.path=a,b", declared_type, may_sweep=True) == "behavior.path='a,b'"
    assert as_written("model.path=choice(a,b)", declared_type, may_sweep=True) == "model.path=choice(a,b)"
    assert as_written("composition=[],[behavior:x]", declared_type, may_sweep=True) == "composition=[],[behavior:x]"


@pytest.mark.parametrize(
    ("chosen", "key", "is_text"),
    [
        ("evaluation=own", "evaluation.prompts", True),
        ("evaluation=own", "evaluation.text", True),
        ("evaluation=own", "evaluation.detoxify.checkpoint", True),
        ("evaluation=own", "evaluation.measurements.text", True),
        ("evaluation=own", "evaluation.tokens_per_batch", False),
        ("evaluation=paper", "evaluation.jailbreak_prompts", True),
        ("evaluation=paper", "evaluation.detoxify_unbiased.config", True),
        ("evaluation=toyworld", "evaluation.measurements.perplexity.texts.heldout", True),
        ("evaluation=toyworld", "evaluation.measurements.continuations.scorers.toxicity.checkpoint", True),
        ("evaluation=toyworld", "evaluation.checksums", True),
        ("evaluation=toyworld", "evaluation.measurements.lm_eval.batch_size", False),
    ],
)
def test_which_keys_are_texts_is_known_from_what_they_are_handed_to(chosen: str, key: str, is_text: bool) -> None:
    from sweeps.config.key_types import members

    resolvers.register()
    assert (str in members(ChosenConfig([chosen]).type_of(key))) == is_text


def test_a_key_has_its_type_where_a_group_is_swept_by_a_pattern() -> None:
    from sweeps.config.key_types import members

    resolvers.register()
    chosen = ChosenConfig(["model=glob(toyworld*)", "evaluation=own"])
    assert str in members(chosen.type_of("evaluation.text"))
    assert chosen.composed().model.name == "toyworld"


def test_a_flags_value_may_hold_an_equals_sign_and_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run=3").mkdir()
    assert completed(["--config-dir", "~/run=3", "-m", "alpha=1,2"]) == [
        *("--config-dir", str(tmp_path / "run=3"), "-m", "alpha=1,2")
    ]


ODD = ("it's (1)#,=&.csv", "${x}.csv", "日本 😀.csv", "'q'\\.csv", "~t.csv")


@pytest.mark.parametrize("name", ODD)
def test_a_cell_of_an_oddly_named_file_is_found_again_by_its_recorded_command(
    surgery, arguments, world, tmp_path, name: str
) -> None:
    (tmp_path / name).write_bytes(world.texts.read_bytes())
    others = [argument for argument in arguments if not argument.startswith("behavior.path")]
    ran = surgery(*others, f"behavior.path={name}", "sweep=007", "output_dir=~/out (1)")
    assert ran.code == 0, ran.err
    [result] = Path("~/out (1)/runs/007").expanduser().glob("*/result.json")
    again = surgery(*shlex.split(json.loads(result.read_text())["command"])[1:])
    assert again.code == 0, again.err
    assert "1 of 1 cells are finished already" in again.err


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_an_experiment_file_names_files_and_sweeps_as_they_are(surgery, arguments, world, tmp_path) -> None:
    lines = world.texts.read_text().splitlines()
    (tmp_path / "texts (1).csv").write_text("\n".join(lines))
    (tmp_path / "a#b.csv").write_text("\n".join(lines[:-2]))
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "two.yaml").write_text(
        "# @package _global_\nsweep: 0012\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      behavior.path: texts (1).csv,a#b.csv\n"
    )
    others = [argument for argument in arguments if not argument.startswith("behavior.path")]
    ran = surgery("--config-dir", "mine", "experiment=two", "behavior=tabular", *others, "dry_run=true")
    assert ran.code == 0, ran.err
    assert "sweep 0012" in ran.out
    assert "texts_1" in ran.out and "a_b" in ran.out


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        (
            "evaluation.measurements.perplexity.stride=7",
            "has the default of evaluation.perplexity.Perplexity and stands in no config; "
            "write +evaluation.measurements.perplexity.stride=VALUE",
        ),
        ("evaluation.measurements.continuations.generation.stop=x", "write +evaluation.measurements.continuations"),
        ("evaluation.measurements.perplexity.strid=7", "did you mean 'evaluation.measurements.perplexity.stride'?"),
        ("+evaluation.measurements.perplexity.strid=7", "did you mean 'evaluation.measurements.perplexity.stride'?"),
        ("evaluation.measurements.lm_eval.toks.a=7", "unknown key 'evaluation.measurements.lm_eval.toks'"),
        ("alpha.x=2", "alpha=3 has no parts, so 'alpha.x' can't be set; write alpha=VALUE"),
        ("region.layers.0=2", "region.layers=null has no parts"),
        ("evaluation.measurements.limit=2", "did you mean 'evaluation.limit'?"),
    ],
)
def test_a_key_that_can_not_be_set_so_is_told_how_it_can(surgery, argument: str, told: str) -> None:
    refused = surgery(argument)
    assert refused.code == 1
    assert told in refused.err
    assert len(refused.err.splitlines()) == 1


def test_a_key_of_another_evaluation_is_not_answered_with_itself(surgery, arguments) -> None:
    refused = surgery(*arguments, "evaluation.measurements.perplexity.tokens_per_batch=7")
    assert refused.code == 1
    assert "unknown key 'evaluation.measurements.perplexity'; did you mean 'evaluation.measurements.tokens_per" in (
        refused.err
    )


def test_what_a_target_takes_is_set_with_a_plus(surgery) -> None:
    ran = surgery("+evaluation.measurements.perplexity.stride=512", "dry_run=true")
    assert ran.code == 0, ran.err
