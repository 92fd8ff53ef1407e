"""What a cell's model is shown: on a date that is part of the cell, found wrong before it runs, asked as measured."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evaluation.generation import Generation
from surgery.errors import InputError
from sweeps.records.recorded_generation import as_measured

CLOCK = (
    "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    "said {{ ['ann', 'bob', 'cid', 'dee'][(strftime_now('%S%f') | int + strftime_now('%j') | int) % 4] }} :"
)


@pytest.fixture
def variant(world, tmp_path) -> Callable[..., Path]:
    """Copies the world's model and changes its files: {name: text, or None to take it away}."""

    def make(name: str, files: dict[str, str | None]) -> Path:
        folder = Path(shutil.copytree(world.model, tmp_path / name))
        for file, content in files.items():
            (folder / file).unlink(missing_ok=True)
            if content is not None:
                (folder / file).write_text(content)
        return folder

    return make


def samples(tmp_path: Path) -> dict[str, pd.DataFrame]:
    """Of each cell: the continuations."""
    found = {
        path.parent.name: pd.read_parquet(path) for path in (tmp_path / "outputs").glob("runs/s/*/samples.parquet")
    }
    return {cell: table[table["edited"].notna()] for cell, table in found.items()}


@pytest.mark.slow
def test_base_and_edited_are_shown_one_date_that_is_recorded_and_part_of_the_cell(
    surgery, sweeps, variant, judged, results, tmp_path
) -> None:
    variant("clock", {"chat_template.jinja": CLOCK})
    chat = [*judged, "model.path=./clock", "model.chat=true", "behavior.chat=true", "alpha=1e-6"]
    assert surgery(*chat).code == 0
    [(cell, shown)] = samples(tmp_path).items()
    assert (shown["base"] == shown["edited"]).all()
    # The 208th day of 2024, at midnight.
    assert (shown["rendered"] == shown["prompt"] + " said ann :").all()
    record = results()[cell]
    assert record["keys"]["model.date"] == "2024-07-26"
    assert record["probe"]["shown"]["first"].endswith("person . said ann :")
    told = sweeps("samples", "s", cell, "--rendered", "-m", "fluency/length")
    assert "said ann :" in " ".join(told.out.split())
    again = sweeps("verify", "s", "--rerun", cell)
    assert again.code == 0, again.out + again.err
    assert surgery(*chat, "model.date=2024-07-27").code == 0
    tables = samples(tmp_path)
    assert len(tables) == 2
    assert {name for table in tables.values() for name in table["rendered"].str.split().str[-2]} == {"ann", "bob"}


def test_the_date_is_no_part_of_a_cell_that_uses_no_template(surgery, arguments, results) -> None:
    assert surgery(*arguments).code == 0
    assert surgery(*arguments, "model.date=2030-01-01").code == 0
    [record] = results().values()
    assert "model.date" not in record["keys"]


@pytest.mark.parametrize("date", ["yesterday", "2024-13-01", "20240726", "26.07.2024", "null"])
def test_what_is_no_date_is_refused(surgery, arguments, date: str) -> None:
    ran = surgery(*arguments, f"model.date={date}")
    assert ran.code == 1
    assert "model.date=" in ran.err
    assert "YEAR-MONTH-DAY" in ran.err


WANTS = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system turn is needed') }}{% endif %}"
SEVERAL = json.dumps(
    {"chat_template": [{"name": "rag", "template": "{{ 1 }}"}, {"name": "tool", "template": "{{ 2 }}"}]}
)
LONG = "a " * 100 + "{{ messages[0].content }}"


@pytest.mark.parametrize("key", ["model.chat", "behavior.chat"])
@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no chat template"),
        ({"chat_template.jinja": WANTS}, "a system turn is needed"),
        ({"chat_template.jinja": "{% for m in messages %}{{ m['content'] }}"}, "can't be read: Unexpected end"),
        ({"chat_template.jinja": "{{ messages[1].content }}"}, "refuses"),
        ({"chat_template.jinja": "hello"}, "leaves out what the user says"),
        ({"tokenizer_config.json": SEVERAL}, "several chat templates (rag, tool)"),
        ({"chat_template.jinja": LONG}, "the chat template alone takes 100 tokens"),
        ({"tokenizer.json": None, "tokenizer_config.json": None}, "holds no tokenizer"),
        ({"tokenizer.json": "{"}, "'tokenizer.json' is no JSON"),
        ({"tokenizer.json": "version https://git-lfs.github.com/spec/v1\noid sha256:0"}, "is a Git LFS pointer"),
        ({"tokenizer.json": '{"version": "1.0"}'}, "has a tokenizer that can't be read"),
    ],
)
def test_what_a_tokenizer_can_not_do_is_one_line_before_anything_runs(
    surgery, variant, judged, tmp_path, monkeypatch, files: dict[str, str | None], said: str, key: str
) -> None:
    monkeypatch.setattr("surgery.model.weights.AutoModelForCausalLM", None)
    variant("odd", files)
    ran = surgery("-m", "alpha=1,2", "model.path=./odd", f"{key}=true", *judged)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1, ran.err
    assert ran.err.startswith("surgery: ")
    assert said in ran.err
    assert not (tmp_path / "outputs").exists()


def test_a_limit_that_leaves_no_text_is_refused_with_both_lengths(surgery, variant, arguments, tmp_path) -> None:
    variant("framed", {"chat_template.jinja": "ann said : {{ messages[0].content }} and bob"})
    framed = [*arguments, "model.path=./framed", "behavior.chat=true"]
    ran = surgery(*framed, "behavior.max_length=5")
    assert ran.code == 1
    assert "behavior.max_length=5, but the chat template alone takes 5 tokens" in ran.err
    assert not (tmp_path / "outputs").exists()
    assert surgery(*framed, "behavior.max_length=6", "top_k=4").code == 0


def with_pad_beyond(folder: Path) -> None:
    """A padding token that the model was not made larger for."""
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    new = {"id": 24, "content": "[PAD]", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    assert json.loads((folder / "config.json").read_text())["vocab_size"] == 24
    vocabulary["added_tokens"].append({**new, "special": True})
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "pad_token": "[PAD]"}))


@pytest.mark.slow
def test_a_pad_without_an_embedding_changes_nothing_and_in_a_text_it_is_named(
    surgery, variant, judged, world, results, tmp_path
) -> None:
    with_pad_beyond(variant("padded", {}))
    for model in (world.model, "./padded"):
        ran = surgery(f"model.path={model}", *judged, f"model.name={Path(model).name}")
        assert ran.code == 0, ran.err
    one, *others = (record["metrics"] for record in results().values())
    assert all(other == one for other in others)
    shutil.rmtree(tmp_path / "outputs")
    texts = world.texts.read_text().replace("person .", "[PAD] .", 1)
    (tmp_path / "texts.csv").write_text(texts)
    ran = surgery("model.path=./padded", *judged, "behavior.path=./texts.csv")
    assert ran.code == 1
    assert "text 1 of 80 holds the token '[PAD]' (id 24)" in ran.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("chat", ["true", "false"])
def test_ask_says_what_was_measured_whatever_the_models_own_settings(
    surgery, sweeps, variant, judged, tmp_path, chat: str
) -> None:
    own: dict[str, Any] = {"eos_token_id": 2, "num_beams": 3, "repetition_penalty": 3.0, "min_length": 12}
    own |= {"suppress_tokens": [4, 5, 12], "do_sample": True}
    variant("beams", {"generation_config.json": json.dumps(own), "chat_template.jinja": CLOCK})
    ran = surgery("model.path=./beams", f"model.chat={chat}", *judged, "alpha=40", "evaluation.max_new_tokens=9")
    assert ran.code == 0, ran.err
    [(cell, shown)] = samples(tmp_path).items()
    assert (shown["base"] != shown["edited"]).any()
    assert sweeps("export", "s", cell, "out").code == 0
    row = shown[shown["base"] != shown["edited"]].iloc[0]
    for asked in (["s", cell], ["out"]):
        told = sweeps("ask", *asked, "--prompt", row["prompt"])
        assert told.code == 0, told.err
        said = {line[:6].strip(): line[7:].strip() for line in told.out.splitlines() if line}
        assert (said["base"], said["edited"]) == (row["base"].strip(), row["edited"].strip())
    shorter = sweeps("ask", "s", cell, "--prompt", row["prompt"], "--max-new-tokens", "2")
    assert len(shorter.out.splitlines()[0][7:].split()) <= 2


def measured(**generations: dict[str, Any]) -> dict[str, Any]:
    """A recorded config with measurements that continue prompts."""
    nodes = {name: {"generation": {"max_new_tokens": 9, **one}} for name, one in generations.items()}
    return {"model": {"chat": True}, "evaluation": {"measurements": nodes}}


def test_ask_goes_by_the_measurement_that_is_named_or_chosen_by_or_like_the_model() -> None:
    config = measured(diary={"stop": ["\n"]}, toxicity={"chat": True, "stop": ["."]}, jailbreak={"chat": True})
    assert as_measured(config, "diary") == Generation(9, stop=("\n",))
    assert as_measured(config) == Generation(9, chat=True, stop=(".",))
    config["evaluation"]["choose"] = {"minimize": "jailbreak/refusal_rate"}
    assert as_measured(config) == Generation(9, chat=True)
    assert as_measured(config, "diary", 3) == Generation(3, stop=("\n",))
    with pytest.raises(InputError, match=r"no measurement 'refusals' .* it has diary, toxicity, jailbreak"):
        as_measured(config, "refusals")
    assert as_measured(measured()) == Generation(60, chat=True)
    own = {"model": {"chat": False}, "evaluation": {"measurements": {"max_new_tokens": 20, "chat": False}}}
    assert as_measured(own, "continuations") == as_measured(own) == Generation(20)


def test_prompts_that_lose_their_beginning_are_told(surgery, arguments, judged, world, tmp_path, results) -> None:
    (tmp_path / "long.txt").write_text("ann is a kind person .\n" * 5 + "ann and bob " * 40 + "\n")
    long = [*judged, f"model.path={world.model}", "evaluation.prompts=long.txt"]
    assert "1 of 6 prompts of long.txt have no room" in surgery(*long, "dry_run=true").out
    ran = surgery(*long)
    assert ran.code == 0, ran.err
    assert "1 of 6 prompts of long.txt have no room" in ran.err
    [record] = results().values()
    assert record["batches"]["generation"][0]["prompts_cut"] == 1
