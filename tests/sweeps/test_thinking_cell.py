"""Thoughts and system prompts as keys of a cell: what they are part of, what is said of them, what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import conf
from evaluation.comparison.compare import compare
from evaluation.measurements.measurement import Measurement
from surgery import load_model
from surgery.edits.changed_checkpoint import require_weights
from surgery.edits.intervention import load_intervention
from surgery.edits.system_turn import SystemPrompt
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.tokens.chat import render
from surgery.tokens.framing import Framing, tokenizer_of
from surgery.tokens.thinking import Thinking
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.settings import MethodSettings, ModelSettings, framing, framing_keys
from sweeps.config.composition import Composed
from sweeps.config.read_settings import read_settings
from sweeps.plan.materials import Materials
from sweeps.plan.planner import plan_cell
from sweeps.plan.template_notes import require_template_for, template_notes
from sweeps.records.samples import read_samples, told_with_scored, write_samples
from sweeps.run.stage_identities import base_identity

TURNS = "{% for m in messages %}{{ m.role }} : {{ m.content }} </s> {% endfor %}"
HYBRID = TURNS + "{% if add_generation_prompt and enable_thinking is false %}<think> </think> {% endif %}"


@pytest.fixture
def chat_model(world, tmp_path: Path) -> Callable[..., str]:
    """The world's model with a chat template; thoughts are marked by words that it knows, so that it may think."""

    def make(template: str = HYBRID, generation: dict[str, Any] | None = None) -> str:
        folder = Path(shutil.copytree(world.model, tmp_path / "chat"))
        (folder / "chat_template.jinja").write_text(template)
        if generation is not None:
            (folder / "generation_config.json").write_text(json.dumps(generation))
        return "model.path=./chat"

    return make


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[Composed]:
    """What the command would have run."""
    kept: list[Composed] = []
    monkeypatch.setattr("sweeps.commands.run_composed.run_composed", lambda cells, *_: kept.extend(cells))
    return kept


@pytest.mark.parametrize(
    ("template", "keys", "said"),
    [
        (HYBRID, "model.thinking=of model.chat=true", "thinking=of is not possible: it is 'off', 'strip' or 'keep'"),
        (HYBRID, "model.system=kind", "model.system needs the chat template, but nothing goes through it"),
        (TURNS, "model.thinking=strip model.chat=true", "knows '</think>', so this model marks no thoughts"),
    ],
)
def test_what_can_not_be_asked_is_one_line_before_a_model_is_loaded(
    surgery, chat_model, judged, monkeypatch, tmp_path, template: str, keys: str, said: str
) -> None:
    monkeypatch.setattr("surgery.model.weights.AutoModelForCausalLM", None)
    ran = surgery(chat_model(template), *keys.split(" "), *judged)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1, ran.err
    assert said in ran.err
    assert not (tmp_path / "outputs").exists()


def settings(**keys: Any) -> ModelSettings:
    loading = {"path": "x", "revision": None, "dtype": "auto", "device": "auto", "chat": False, "top_k": None}
    return ModelSettings(name="one", **loading, trust_remote_code=False, checksums=None, **keys)  # type: ignore[arg-type]


def test_nothing_is_asked_of_a_template_that_nothing_goes_through() -> None:
    require_template_for(settings(thinking="keep"), chat=False)
    require_template_for(settings(system="kind", thinking="off"), chat=True)
    for keys, said in (
        ({"thinking": "strip"}, "or say model.thinking=keep"),
        ({"system": ""}, "or leave model.system"),
    ):
        with pytest.raises(InputError, match=f"needs the chat template, but nothing goes through it.*{said}"):
            require_template_for(settings(**keys), chat=False)


@pytest.mark.parametrize(
    ("made_for_it", "chat", "said"),
    [
        (True, False, "stops where its chat template ends a turn, as chat models do, but its prompts go without"),
        (False, True, "does not stop where its chat template ends a turn, so it may be a base model"),
        (True, True, None),
        (False, False, None),
        (None, True, None),
        (None, False, None),
    ],
)
def test_a_chat_model_without_its_template_and_a_base_model_with_one_are_told(
    made_for_it: bool | None, chat: bool, said: str | None
) -> None:
    told = template_notes(settings(), made_for_it, chat)
    assert len(told) == (said is not None)
    assert said is None or said in told[0]


def test_a_dry_run_tells_it_by_where_the_model_itself_stops(surgery, chat_model, judged) -> None:
    model = chat_model(HYBRID.replace("</s>", "<pad>"), {"eos_token_id": [0, 2]})
    ran = surgery(model, "dry_run=true", *judged)
    assert ran.code == 0, ran.err
    assert "as chat models do, but its prompts go without the template" in " ".join(ran.out.split())


def test_what_is_asked_of_a_template_is_part_of_the_cell_and_the_default_is_not(
    surgery, chat_model, judged, composed
) -> None:
    assert surgery(chat_model(), "model.chat=true", *judged).code == 0
    [values], materials = [one.values for one in composed], Materials()

    def cell(**model: Any) -> Any:
        return plan_cell(Composed({**values, "model": {**values["model"], **model}}, ()), materials).cell

    plain = cell()
    # A record of before these keys, and what they are by default.
    before = {name: value for name, value in values["model"].items() if name not in ("system", "thinking", "thought")}
    assert plan_cell(Composed({**values, "model": before}, ()), materials).cell.identity() == plain.identity()
    assert set(plain.identity()) & {"system", "thinking"} == set()
    assert cell(thinking="keep").id == plain.id
    off, strip, kind = cell(thinking=False), cell(thinking="strip"), cell(system="ann is kind")
    assert len({one.id for one in (plain, off, strip, kind)}) == 4
    assert len({canonical_json(base_identity(one, "continuations")) for one in (plain, off, strip, kind)}) == 4
    # YAML reads an unquoted `off` as false.
    assert off.keys()["model.thinking"] == "off"
    assert kind.keys()["model.system"] == "ann is kind"
    assert not {"model.thinking", "model.system"} & set(plain.keys())
    # Thoughts that were not had don't set results apart; answers without theirs do, and another prompt.
    assert [one.protocol == plain.protocol for one in (off, strip, kind)] == [True, False, False]
    assert cell(thinking="strip", thought={"begin": "<thought>"}).id != strip.id
    # The behavior's texts are read alike but for what they are shown in.
    assert strip.texts_identity() == kind.texts_identity() == plain.texts_identity()


def test_a_record_tells_how_its_template_was_filled() -> None:
    assert framing(**framing_keys({"model": {"chat": True, "thinking": "keep", "thought": {"end": "x"}}})) == Framing()
    model = {"thinking": "strip", "thought": {"end": "</t>"}, "system": "ann is kind"}
    assert framing(**framing_keys({"model": model})) == Framing("ann is kind", Thinking("strip", end="</t>"))


def test_samples_tell_what_was_scored_before_the_whole(tmp_path: Path) -> None:
    def one(name: str, scored: tuple[str, ...] | None) -> Measurement:
        texts = ("<think> a </think> b", "<think> a")
        return Measurement(name, "report", ("0", "1"), np.zeros(2), inputs=("p", "q"), outputs=texts, scored=scored)

    measured = [one("always/rate", ("b", "")), one("other/rate", None)]
    write_samples(tmp_path / "samples.parquet", measured, measured)
    table = read_samples(tmp_path)
    assert list(table["edited_scored"].fillna("none")) == ["b", "", "none", "none"]
    assert list(table["base"]) == ["<think> a </think> b", "<think> a"] * 2
    assert list(told_with_scored(table)["edited"]) == [
        "scored: b\n<think> a </think> b",
        "scored: (nothing)\n<think> a",
        *("<think> a </think> b", "<think> a"),
    ]


@pytest.mark.slow
def test_presets_of_models_that_think_say_how_they_mark_it_and_ask_for_none(surgery, world, composed) -> None:
    texts, marks = f"behavior.path={world.texts}", ("qwen3-8b", "gpt-oss-20b", "r1-distill-qwen-7b")
    for name in marks:
        assert surgery(f"model={name}", texts).code == 0
    assert surgery("model=qwen3-8b", texts, "model.chat=false").code == 0
    assert surgery("model=gpt-oss-20b", texts, "model.thinking=strip", "model.thought.end=</a>, =b").code == 0
    *off, bare, own = (read_settings(dict(one.values)).model.framing() for one in composed)
    assert [one.thinking.mode for one in off] == ["off"] * 3
    assert off[0].thinking.template_arguments() == {"enable_thinking": False}
    assert [one.thinking.begun("<think>\n") for one in off] == [
        "",
        "<|channel|>analysis<|message|><|end|><|start|>assistant<|channel|>final<|message|>",
        "\n</think>\n\n",
    ]
    assert bare == Framing()
    assert (own.thinking.mode, own.thinking.end) == ("strip", "</a>, =b")
    folder = Path(conf.__file__).parent / "model"
    thinking = {file.stem for file in folder.glob("*.yaml") if "thought:" in file.read_text()}
    assert thinking >= {*marks, "smollm3-3b", "phi4-reasoning", "qwen3-0.6b", "qwen3-30b-a3b"}


def test_a_system_prompt_is_an_intervention_that_changes_no_weight(chat_model, tmp_path) -> None:
    model, tokenizer = load_model(chat_model().partition("=")[2].replace("./chat", str(tmp_path / "chat")))
    base, weights = fingerprint(model), [parameter.clone() for parameter in model.parameters()]
    SystemPrompt("ann is kind", base).save(tmp_path / "edit.safetensors")
    prompt = load_intervention(tmp_path / "edit.safetensors")
    turn = [{"role": "user", "content": "why"}]
    with prompt.applied_to(model) as receipt:
        assert render(tokenizer, turn) == "system : ann is kind </s> user : why </s> "
        assert fingerprint(model) != base
    assert render(tokenizer, turn) == "user : why </s> "
    assert fingerprint(model) == base and receipt.frobenius_norm == 0
    assert all(torch.equal(old, new) for old, new in zip(weights, model.parameters(), strict=True))
    with pytest.raises(InputError, match="no adapter of it; give it the prompt yourself"):
        require_weights([prompt], "adapter")
    with pytest.raises(InputError, match="was made for model"), SystemPrompt("x", "0" * 12).applied_to(model):
        pass
    with pytest.raises(InputError, match=r"load both with surgery.load_model"):
        tokenizer_of(type(model)(model.config))
    one, other = (
        Measurement("a", "report", ("0",), np.zeros(1), inputs=("p",), rendered=(shown,)) for shown in ("p", "s p")
    )
    assert compare(one, other, shown_alike=False).delta == 0
    with pytest.raises(ValueError, match="shown different prompts"):
        compare(one, other)


def test_a_system_prompt_is_a_method_for_chat_models(surgery, chat_model, judged) -> None:
    ran = surgery(chat_model(), "method=system_prompt", *judged)
    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "gives the chat template a system prompt, but no prompts go through it" in ran.err
    with pytest.raises(ValueError, match="system is no setting of method=surgery"):
        MethodSettings("surgery", system="kind")


@pytest.mark.slow
def test_a_model_that_is_asked_to_be_good_is_measured_like_an_edited_one(
    surgery, sweeps, chat_model, judged, results
) -> None:
    keys = [chat_model(), "model.chat=true", "method=system_prompt", "method.system=ann is a kind person"]
    ran = surgery(*keys, *judged)
    assert ran.code == 0, ran.err
    [(cell, record)] = results().items()
    assert record["keys"]["method.system"] == "ann is a kind person"
    table = pd.read_parquet(f"outputs/runs/s/{cell}/samples.parquet").dropna(subset=["edited"])
    asked_for = "system : ann is a kind person </s> "
    assert (table["edited_rendered"] == asked_for + table["rendered"]).all()
    assert (table["base"] != table["edited"]).any()
    assert sweeps("verify", "s", "--rerun", cell).code == 0
    row = table[table["base"] != table["edited"]].iloc[0]
    told = sweeps("ask", "s", cell, "--prompt", row["prompt"])
    said = {line[:6].strip(): line[7:].strip() for line in told.out.splitlines() if line}
    assert (said["base"], said["edited"]) == (row["base"].strip(), row["edited"].strip())
    refused = sweeps("export", "s", cell, "out")
    assert refused.code == 1
    assert "gives the model a system prompt and changes no weight" in refused.err


@pytest.mark.slow
def test_a_system_prompt_is_shown_recorded_and_asked_with(surgery, sweeps, chat_model, judged, results) -> None:
    ran = surgery(chat_model(), "model.chat=true", "model.system=ann is a kind person", "alpha=20", *judged)
    assert ran.code == 0, ran.err
    [(cell, record)] = results().items()
    assert record["keys"]["model.system"] == "ann is a kind person"
    table = pd.read_parquet(f"outputs/runs/s/{cell}/samples.parquet").dropna(subset=["edited"])
    assert table["rendered"].str.startswith("system : ann is a kind person </s> user : ").all()
    assert sweeps("verify", "s", "--rerun", cell).code == 0
    assert sweeps("export", "s", cell, "out").code == 0
    row = table.iloc[0]
    for place in (["s", cell], ["out"]):
        told = sweeps("ask", *place, "--prompt", row["prompt"])
        said = {line[:6].strip(): line[7:].strip() for line in told.out.splitlines() if line}
        assert (said["base"], said["edited"]) == (row["base"].strip(), row["edited"].strip())
