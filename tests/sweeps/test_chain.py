"""One surgery after another (Table 8): the second probe is trained on the model that the first edit made."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from evaluation.perplexity import Perplexity
from surgery import Edit, collect_hidden_states, fit_probe, load_model, rank_rows

SECOND = ("alpha=-2", "top_k=9", "layer=3", "sweep=second")


@pytest.fixture
def first(surgery, arguments, tmp_path) -> Path:
    """A finished cell whose edit is large enough to move the second probe."""
    ran = surgery(*arguments, "alpha=3", "alpha_unit=unit", "top_k=12", "layer=2", "sweep=first")
    assert ran.code == 0, ran.err
    [cell] = (tmp_path / "outputs/runs/first").glob("*/edit.safetensors")
    return cell.parent


@pytest.fixture
def second(surgery, arguments, first, tmp_path) -> Path:
    ran = surgery(*arguments, *SECOND, f"composition=[{first}]")
    assert ran.code == 0, ran.err
    [cell] = (tmp_path / "outputs/runs/second").glob("*/edit.safetensors")
    return cell.parent


def record(cell: Path) -> dict:
    return json.loads((cell / "result.json").read_text())


def logits(model, tokenizer) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer("ann is a kind and rude person .", return_tensors="pt")).logits


def test_the_second_probe_and_region_are_those_of_the_edited_model(first, second, world) -> None:
    """The chain step by step, with weights written by hand for the first edit."""
    model, tokenizer = load_model(str(world.model))
    one, two = Edit.load(first / "edit.safetensors"), Edit.load(second / "edit.safetensors")
    parameters = dict(model.named_parameters())
    unit = one.direction / one.direction.norm()
    for layer, rows in one.region.rows.items():
        parameters[f"model.layers.{layer - 1}.mlp.gate_proj.weight"].data[rows] += 3 * unit
    texts = pd.read_csv(world.texts)
    states = collect_hidden_states(model, tokenizer, list(texts["text"]), [3])[3]
    probe = fit_probe(states, list(texts["label"]), "adam", seed=0, texts=list(texts["text"]))
    torch.testing.assert_close(two.direction, probe.direction(1), atol=1e-5, rtol=1e-5)
    expected = rank_rows(model, two.direction).lowest(9)
    assert {layer: rows.tolist() for layer, rows in two.region.rows.items()} == {
        layer: rows.tolist() for layer, rows in expected.rows.items()
    }
    for layer, rows in two.region.rows.items():
        parameters[f"model.layers.{layer - 1}.mlp.gate_proj.weight"].data[rows] -= 2 * two.direction
    [measured] = Perplexity({"story": world.text}).measure(model, tokenizer)
    metric = record(second)["metrics"]["perplexity/story"]
    assert measured.summary == pytest.approx(metric["edited"], rel=1e-6)
    assert metric["base"] == record(first)["metrics"]["perplexity/story"]["base"]


def test_the_record_keeps_the_chain_and_the_files_of_all_its_edits(first, second) -> None:
    one, two = Edit.load(first / "edit.safetensors"), Edit.load(second / "edit.safetensors")
    found = record(second)
    assert found["edit"]["chain"] == [one.fingerprint, two.fingerprint]
    assert found["edit"]["base"] == record(first)["edit"]["base"]
    assert found["keys"]["composition"] == one.fingerprint
    assert Edit.load(second / "earlier-1.safetensors").fingerprint == one.fingerprint
    assert "earlier-1.safetensors" in found["files"]
    assert "chain" not in record(first)["edit"] and "composition" not in record(first)["keys"]


def test_a_chain_leaves_no_trace_in_the_cells_that_follow_it(surgery, arguments, first, results, tmp_path) -> None:
    """One process, one model: after the chain comes a plain cell, which has to measure what it does alone."""
    assert surgery(*arguments, *SECOND, "output_dir=alone").code == 0
    [alone] = (tmp_path / "alone/runs/second").glob("*/result.json")
    ran = surgery(*arguments, *SECOND, "-m", f"composition=[{first}],[]")
    assert ran.code == 0, ran.err
    again = results()[alone.parent.name]
    assert again["metrics"] == json.loads(alone.read_text())["metrics"]
    assert again["edit"]["fingerprint"] == json.loads(alone.read_text())["edit"]["fingerprint"]


def test_a_chain_is_exported_as_one_adapter_of_rank_two_and_one_checkpoint(second, sweeps, world, tmp_path) -> None:
    from peft import PeftModel

    for kind in ("adapter", "checkpoint"):
        verify = ["--verify"] if kind == "checkpoint" else []
        ran = sweeps("export", "second", second.name, kind, "--as", kind, *verify)
        assert ran.code == 0, ran.err
    checkpoint, tokenizer = load_model(str(tmp_path / "checkpoint"))
    [again] = Perplexity({"story": world.text}).measure(checkpoint, tokenizer)
    assert again.summary == record(second)["metrics"]["perplexity/story"]["edited"]
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["r"] == 2
    adapted = PeftModel.from_pretrained(load_model(str(world.model))[0], tmp_path / "adapter").eval()
    torch.testing.assert_close(logits(adapted, tokenizer), logits(checkpoint, tokenizer), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("earlier_is", ["surgery", "lora"])
def test_an_edit_and_a_lora_are_exported_as_one_adapter_and_one_checkpoint(
    surgery, sweeps, arguments, world, tmp_path, earlier_is: str
) -> None:
    """In either order; the ranks, 1 and 3, add up."""
    from peft import PeftModel

    cells = {
        "surgery": ("alpha=3", "alpha_unit=unit", "top_k=12", "layer=2", "sweep=edit"),
        "lora": ("method=lora", "method.lr=1e-2", "method.rank=3", "sweep=lora"),
    }
    assert surgery(*arguments, *cells.pop(earlier_is)).code == 0
    [earlier] = (tmp_path / "outputs/runs").glob("*/*/edit.safetensors")
    [last] = cells.values()
    ran = surgery(*arguments, *last, f"composition=[{earlier.parent}]")
    assert ran.code == 0, ran.err
    [cell] = (path.parent for path in (tmp_path / "outputs/runs").glob("*/*/earlier-1.safetensors"))
    for kind in ("adapter", "checkpoint"):
        verify = ["--verify"] if kind == "checkpoint" else []
        ran = sweeps("export", cell.parent.name, cell.name, kind, "--as", kind, *verify)
        assert ran.code == 0, ran.err
    checkpoint, tokenizer = load_model(str(tmp_path / "checkpoint"))
    [again] = Perplexity({"story": world.text}).measure(checkpoint, tokenizer)
    assert again.summary == record(cell)["metrics"]["perplexity/story"]["edited"]
    assert json.loads((tmp_path / "adapter/adapter_config.json").read_text())["r"] == 4
    adapted = PeftModel.from_pretrained(load_model(str(world.model))[0], tmp_path / "adapter").eval()
    torch.testing.assert_close(logits(adapted, tokenizer), logits(checkpoint, tokenizer), atol=1e-5, rtol=1e-5)


def test_a_chain_goes_on_and_its_last_cell_verifies(surgery, sweeps, arguments, second, results) -> None:
    ran = surgery(*arguments, "top_k=5", "sweep=third", f"composition=[{second}]")
    assert ran.code == 0, ran.err
    [third] = [cell for cell, found in results().items() if len(found["edit"].get("chain", ())) == 3]
    assert results()[third]["edit"]["chain"][:2] == record(second)["edit"]["chain"]
    ran = sweeps("verify", "third", "--rerun", third)
    assert ran.code == 0, ran.out + ran.err


def test_kinds_can_be_mixed_in_a_chain(surgery, sweeps, arguments, first, tmp_path, world) -> None:
    ran = surgery(*arguments, "method=directional_ablation", "sweep=mixed", "layer=3", f"composition=[{first}]")
    assert ran.code == 0, ran.err
    [cell] = (tmp_path / "outputs/runs/mixed").glob("*/result.json")
    assert "--as checkpoint" in sweeps("export", "mixed", cell.parent.name, "out").err
    assert sweeps("export", "mixed", cell.parent.name, "out", "--as", "checkpoint").code == 0
    [again] = Perplexity({"story": world.text}).measure(*load_model(str(tmp_path / "out")))
    assert again.summary == json.loads(cell.read_text())["metrics"]["perplexity/story"]["edited"]


def test_what_is_no_cell_or_of_another_model_is_refused_in_one_sentence(surgery, arguments, first, tmp_path) -> None:
    ran = surgery(*arguments, "composition=[nowhere]")
    assert ran.code == 1 and "composition: 'nowhere' is neither" in ran.err
    model, tokenizer = load_model(str(tmp_path / Path(arguments[0].partition("=")[2])))
    model.lm_head.weight.data += 1
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    ran = surgery(f"model.path={tmp_path / 'other'}", *arguments[1:], f"composition=[{first}]")
    assert ran.code == 1 and "composition: number 1 was made for model" in ran.err
