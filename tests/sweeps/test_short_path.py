"""`surgery MODEL TEXTS.csv PROMPTS.txt`: what is told apart by itself, and what a person is asked for."""

import re
import shlex
from pathlib import Path

import pytest

from surgery.errors import InputError
from sweeps.config import resolvers
from sweeps.config.command_line import parted, parted_names, without_names
from sweeps.config.config_files import read_config_files
from sweeps.short_path.judge_choice import choose_judge
from sweeps.short_path.named_model import model_key
from sweeps.short_path.short_command import short_command
from sweeps.short_path.table_columns import find_columns, require_avoided


@pytest.fixture(autouse=True)
def configs_can_be_composed() -> None:
    """As `surgery` does before anything else."""
    resolvers.register()
    read_config_files()


SAID = [f"{who} was {how} about the {what}" for who in ("ann", "bob") for how in "abcde" for what in "vwxyz"]


def table(folder: Path, header: str, rows: list[str], name: str = "texts.csv") -> str:
    path = folder / name
    path.write_text("\n".join([header] * bool(header) + rows) + "\n")
    return str(path)


def labelled(labels: str = "ab") -> list[str]:
    return [f"{said},{labels[index % len(labels)]}" for index, said in enumerate(SAID)]


def test_columns_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    rows = [f"{index},{row},{index / 7:.3f}" for index, row in enumerate(labelled())]
    found = find_columns(table(tmp_path, "id,comment,feeling,score", rows))
    assert (found.text, found.label, found.counts) == ("comment", "feeling", {"a": 25, "b": 25})


def test_letters_without_spaces_between_words_are_texts(tmp_path: Path) -> None:
    rows = [f"我今天很{chr(0x4E00 + index)},{index % 2}" for index in range(40)]
    assert find_columns(table(tmp_path, "said,kind", rows)).text == "said"


def test_a_file_without_a_header_has_columns_by_number(tmp_path: Path) -> None:
    found = find_columns(table(tmp_path, "", labelled("01")))
    assert (found.text, found.label, found.counts) == (0, 1, {"0": 25, "1": 25})


def test_of_several_columns_the_one_with_the_keys_own_name_is_meant(tmp_path: Path) -> None:
    rows = [f"{said},to {said},{index % 2},{index % 3}" for index, said in enumerate(SAID)]
    found = find_columns(table(tmp_path, "text,reply,label,group", rows))
    assert (found.text, found.label) == ("text", "label")
    with pytest.raises(InputError) as refused:
        find_columns(table(tmp_path, "said,reply,label,group", rows))
    assert str(refused.value).endswith("could hold the texts; say which of said, reply: behavior.text=said")
    with pytest.raises(InputError, match=r"could hold the labels; say which of one, two: behavior.label=one"):
        find_columns(table(tmp_path, "text,reply,one,two", rows))
    named = find_columns(table(tmp_path, "said,reply,one,two", rows), "reply", "two")
    assert (named.text, named.label) == ("reply", "two")


def test_where_no_column_could_be_meant_all_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, "number,share", [f"{index},{index / 3}" for index in range(30)])
    with pytest.raises(InputError, match=r"no column of '.*' could hold the texts; say which of number, share"):
        find_columns(path)


def test_what_is_moved_away_from_is_asked_for_unless_labels_are_0_and_1(tmp_path: Path) -> None:
    require_avoided(find_columns(table(tmp_path, "text,label", labelled("01"))), "t")
    with pytest.raises(InputError) as refused:
        require_avoided(find_columns(table(tmp_path, "text,label", labelled("ab"))), "t.csv")
    assert "labels a (25), b (25)" in str(refused.value)
    assert "'behavior.avoid=[a]' or 'behavior.avoid=[b]'" in str(refused.value)


def test_detoxify_judges_where_its_checkpoint_is_and_else_the_texts_themselves(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub._hub_dir", None)
    counts = {"1": 40, "0": 60, "2": 100}
    missing = choose_judge(counts, [1])
    # 14 of 40 are wanted: 0.35.
    assert missing.overrides == ("evaluation.judge=probe-texts", "probe.test_share=0.35")
    assert "evaluation.detoxify.checkpoint=FILE evaluation.detoxify.config=FOLDER" in missing.said
    assert choose_judge({"1": 400, "0": 160}, [1]).overrides == ("evaluation.judge=probe-texts",)
    # Too few for any share: what the judge itself says of them is what a person is told.
    assert choose_judge({"1": 20, "0": 160}, [1]).overrides == ("evaluation.judge=probe-texts",)
    checkpoint = tmp_path / "hub" / "checkpoints" / "toxic_original-c1212f89.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    there = choose_judge(counts, [1])
    assert there.overrides == ()
    assert there.said.startswith("Detoxify")


def test_a_model_is_a_folder_a_file_a_hub_name_or_one_of_our_names(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toyworld").mkdir()
    (tmp_path / "x.gguf").touch()
    (tmp_path / "t.csv").touch()
    # What is there is meant, even where one of ours has that name.
    assert model_key("toyworld", None) == "model.path=toyworld"
    assert model_key("x.gguf", None) == "model.path=x.gguf"
    assert model_key("toyworld-chat", None) == "model=toyworld-chat"
    assert model_key("owner/name-1b", None) == "model.path=owner/name-1b"
    for name, told in (
        ("t.csv", "'t.csv' is no model; the order is surgery MODEL TEXTS.csv PROMPTS.txt"),
        ("toywrld", "did you mean toyworld?"),
        ("gone/x.gguf", "no folder or file of that name is here"),
        ("xyzzy", "what holds spaces as"),
    ):
        with pytest.raises(InputError) as refused:
            model_key(name, None)
        assert told in str(refused.value)


def test_names_are_told_from_flags_and_keys_wherever_they_stand() -> None:
    typed = ["m", "alpha=3", "--config-dir", "mine", "t.csv", "-m", "~/p.txt", "--cfg", "job", "~experiment"]
    flags, overrides = parted(typed)
    assert overrides == ["alpha=3", "~experiment"]
    assert parted_names(flags) == (["--config-dir", "mine", "-m", "--cfg", "job"], ["m", "t.csv", "~/p.txt"])
    assert without_names("surgery m.gguf t.csv alpha=3 -m beh") == "surgery alpha=3 -m beh"


def test_a_model_alone_is_told_what_it_needs_and_is_not_loaded(world, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("surgery.model.loading.load_model", None)
    assert short_command([str(world.model)]) is None
    said = capsys.readouterr().out
    # Four layers with 40 gate rows each.
    assert "llama, 4 layers of width 16, 160 gate_proj rows" in said
    assert f"surgery {world.model} TEXTS.csv PROMPTS.txt" in said
    assert short_command([str(world.model), str(world.texts), "seed=1"]) is None
    said = capsys.readouterr().out
    assert "texts in column text, labels in column label: 0 (40), 1 (40); moves away from 1" in said
    assert f"surgery {world.model} {world.texts} PROMPTS.txt seed=1" in said
    with pytest.raises(InputError, match="4 names are given"):
        short_command(["a", "b", "c", "d"])


def test_three_names_are_a_sweep_over_alphas_that_perplexity_tells(world, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = [str(world.model), str(world.texts), str(world.prompts)]
    found = short_command([*names, "top_k=24", "tracking=none"])
    said = capsys.readouterr().out
    assert found is not None
    given = dict(argument.split("=", 1) for argument in found if "=" in argument)
    assert found[0] == "-m"
    line = r"^alphas by perplexity alone, of .* \([\d,]+ tokens, [\d.]+ without an edit\): (.*)$"
    [told] = re.findall(line, said, re.MULTILINE)
    tried = [float(alpha) for alpha in given["alpha"].split(",")]
    assert tried == [float(alpha) for alpha in re.findall(r"([\d.e-]+) \([+-]", told)]
    assert len(tried) > 1 and tried == sorted(tried)
    assert given["alpha_unit"] == "unit"
    assert given["top_k"] == "24"
    assert given["evaluation.judge"] == "probe-texts"
    assert (given["model.path"], given["behavior.path"], given["evaluation.prompts"]) == tuple(names)
    # What was said can be typed in its place.
    [same] = re.findall("^the same as: surgery (.*)$", said, re.MULTILINE)
    assert shlex.split(same) == found


def test_what_is_typed_is_left_as_it_is(world, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [str(world.model), str(world.texts), str(world.prompts)]
    found = short_command([*names, "alpha=3", "probe=mean_difference", "evaluation.judge=polite.yaml"])
    assert found is not None
    assert "-m" not in found
    assert not any(one.startswith(("alpha_unit", "probe=logistic", "evaluation.judge=probe")) for one in found)
    # Of a model of ours too, what is measured is what is asked for, and not what it brings along.
    ours = short_command(["toyworld", *names[1:], "alpha=3", f"evaluation.text={world.text}", "behavior.label=label"])
    assert ours is not None
    assert {"model=toyworld", "evaluation=own", f"evaluation.text={world.text}"} <= set(ours)
    # A model's name in the place of its key, and nothing else.
    assert short_command([names[0], "behavior=positive", "alpha=3"]) == [
        f"model.path={names[0]}",
        "behavior=positive",
        "alpha=3",
    ]


def test_what_is_wrong_with_the_files_is_told_before_the_model_is_loaded(world, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sweeps.suggest.suggestions.suggestions", None)
    with pytest.raises(InputError, match=r"gone\.txt"):
        short_command([str(world.model), str(world.texts), "gone.txt"])


@pytest.mark.slow
def test_the_short_path_ends_with_a_report(surgery, sweeps, world, tmp_path: Path, monkeypatch, results) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    names = [str(world.model), str(world.texts), str(world.prompts)]
    ran = surgery(*names, "tracking=none", "hydra.launcher.workers=0", "top_k=24", f"evaluation.text={world.text}")
    assert ran.code == 0, ran.err
    cells = len(results())
    assert cells
    assert "alphas by perplexity alone" in ran.out
    assert (tmp_path / "outputs/runs/tiny-texts/report.html").is_file()
    assert "guard/probe-texts/avoided_rate" in ran.out
    again = surgery(*names, "tracking=none", "hydra.launcher.workers=0", "top_k=24", f"evaluation.text={world.text}")
    assert f"{cells} of {cells} cells are finished already" in again.err
