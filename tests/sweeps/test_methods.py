"""The methods that surgery is compared with, run as cells."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evaluation.perplexity import Perplexity
from surgery import load_model
from surgery.edits.intervention import load_intervention
from surgery.edits.low_rank import LowRankChange
from surgery.edits.steering import Steering

STEERING = ("feature_subtraction", "activation_addition")
METHODS = (
    *(*STEERING, "directional_ablation", "gradient_ascent", "lora", "task_vector"),
    *("sft", "dpo", "wanda", "contrastive_decoding"),
)
# What each exports; their arithmetic is in test_closed_form.py.
EXPORTS = {
    "caa": (),
    "gate_bias": (),
    "norm_preserving_ablation": ("checkpoint",),
    "neuron_scaling": ("checkpoint",),
    "layer_weighted_ablation": ("adapter", "checkpoint"),
    "projection": ("adapter", "checkpoint"),
}

SLOW = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture
def run(surgery, arguments, tmp_path):
    """Runs one cell with a method; gives its folder and its record."""

    def cell(*more: str) -> tuple[Path, dict]:
        ran = surgery(*arguments, "sweep=s", "layer=2", *more)
        assert ran.code == 0, ran.err
        folders = sorted((tmp_path / "outputs/runs/s").glob("*/result.json"), key=lambda path: path.stat().st_mtime_ns)
        return folders[-1].parent, json.loads(folders[-1].read_text())

    return cell


@pytest.mark.parametrize("method", [SLOW(one) if one in ("sft", "dpo") else one for one in METHODS])
def test_a_method_is_measured_and_recorded_like_surgery(run, world, method: str) -> None:
    folder, record = run(f"method={method}")
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml", "result.json", "samples.parquet", "edit.safetensors"
    }  # fmt: skip
    assert record["keys"]["method"] == method
    assert "top_k" not in record["keys"] and "cosines" not in record["edit"]
    model, tokenizer = load_model(str(world.model))
    with load_intervention(folder / "edit.safetensors").applied_to(model) as receipt:
        [again] = Perplexity({"story": world.text}).measure(model, tokenizer)
    metric = record["metrics"]["perplexity/story"]
    assert again.summary == metric["edited"] != metric["base"]
    assert receipt.frobenius_norm == record["edit"]["frobenius_norm"]


def test_which_direction_is_added_where(run, tmp_path) -> None:
    """The default probes, and the layers, of the two kinds of steering."""
    for method, layer in (("feature_subtraction", 4), ("activation_addition", 2)):
        folder, record = run(f"method={method}", "alpha=1.5")
        steering = load_intervention(folder / "edit.safetensors")
        assert isinstance(steering, Steering)
        assert steering.layer == layer
        probes = [load_file(path)["weight"][1] for path in (tmp_path / "outputs/store/probe").glob("*/*.safetensors")]
        assert any(torch.equal(steering.vector, -1.5 * probe) for probe in probes)
        assert record["probe"]["method"] == ("adam" if method == "feature_subtraction" else "mean_difference")


def test_what_a_method_has_no_use_for_makes_no_other_cell(surgery, arguments, results) -> None:
    ran = surgery(*arguments, "-m", "method=feature_subtraction", "top_k=3,4", "region=lowest,highest")
    assert ran.code == 0, ran.err
    assert len(results()) == 1


@pytest.mark.slow
def test_one_sweep_holds_several_methods(surgery, sweeps, arguments, results) -> None:
    ran = surgery(*arguments, "-m", f"method=surgery,{','.join(METHODS)}", "top_k=5")
    assert ran.code == 0, ran.err
    assert {record["keys"]["method"] for record in results().values()} == {"surgery", *METHODS}
    assert len({record["protocol"] for record in results().values()}) == 1
    report = sweeps("report", "tiny-texts")
    assert report.code == 0, report.err


@pytest.mark.slow
def test_methods_without_training_are_measured_and_exported_as_what_they_change(
    surgery, sweeps, arguments, results, world, tmp_path
) -> None:
    ran = surgery(*arguments, "-m", f"method={','.join(EXPORTS)}", "top_k=9", "layer=2", "sweep=s")
    assert ran.code == 0, ran.err
    assert {record["keys"]["method"] for record in results().values()} == set(EXPORTS)
    for cell, record in results().items():
        method, metric = record["keys"]["method"], record["metrics"]["perplexity/story"]
        model, tokenizer = load_model(str(world.model))
        with load_intervention(tmp_path / "outputs/runs/s" / cell / "edit.safetensors").applied_to(model):
            [again] = Perplexity({"story": world.text}).measure(model, tokenizer)
        assert again.summary == metric["edited"] != metric["base"]
        for kind in ("adapter", "checkpoint"):
            target = tmp_path / f"{method}-{kind}"
            ran = sweeps("export", "s", cell, str(target), "--as", kind)
            assert (ran.code == 0) == (kind in EXPORTS[method]) == target.exists(), ran.err
            refused = "changes no weight" if not EXPORTS[method] else "export it with --as checkpoint"
            assert ran.code == 0 or refused in ran.err
            if kind == "checkpoint" and ran.code == 0:
                [again] = Perplexity({"story": world.text}).measure(*load_model(str(target)))
                assert again.summary == metric["edited"]
    assert sweeps("report", "s").code == 0


@pytest.mark.slow
def test_pairs_of_texts_make_another_cell_and_another_training(surgery, arguments, results, tmp_path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("prompt,chosen,rejected\n" + "ann said to bob : bob is,kind .,rude .\n" * 4)
    own = [*arguments, "method=dpo", "method.rank=2", "method.lr=1e-2"]
    for more in ([], [f"method.pairs={pairs}"]):
        ran = surgery(*own, *more)
        assert ran.code == 0, ran.err
    without, told = sorted(results().values(), key=lambda record: "method.pairs" in record["keys"])
    assert told["keys"]["method.pairs"] == str(pairs) and "method.pairs" not in without["keys"]
    assert told["edit"]["fingerprint"] != without["edit"]["fingerprint"]
    assert len(list((tmp_path / "outputs/store/trained").glob("*/trained.safetensors"))) == 2
    pairs.write_text(pairs.read_text().replace("kind", "warm"))
    assert surgery(*own, f"method.pairs={pairs}").code == 0
    assert len(results()) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("method=lora", "+method.pairs=pairs.csv"), "pairs is no setting of method=lora"),
        (("method=dpo", "method.pairs=nowhere.csv"), "method.pairs 'nowhere.csv' is not there"),
        (("method=dpo", "method.beta=0"), "method.beta=0 is not possible"),
        (("method=wanda", "method.behavior_share=1"), "method.behavior_share=1 is not possible"),
        (("method=sft", "method.beta=0.1"), "beta is no setting of method=sft"),
    ],
)
def test_what_a_method_cannot_use_is_refused_before_a_model_is_loaded(
    surgery, arguments, monkeypatch, given: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda **_: pytest.fail("a model was loaded"))
    ran = surgery(*arguments, *given)
    assert ran.code == 1
    assert said in ran.err


def test_a_missing_library_is_said_in_one_line_before_a_model_is_loaded(surgery, arguments, monkeypatch) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda **_: pytest.fail("a model was loaded"))
    monkeypatch.setattr("sweeps.cell.method.find_spec", lambda name: None)
    ran = surgery(*arguments, "method=dpo")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "it needs trl, which is not installed; pip install 'llm-surgery[train]'" in ran.err


@pytest.mark.slow
def test_trl_is_imported_by_the_methods_that_need_it_alone(world, tmp_path) -> None:
    code = (
        "import sys; from sweeps.commands.surgery_command import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end\n"
        "assert 'trl' not in sys.modules"
    )
    given = [f"model.path={world.model}", f"behavior.path={world.texts}", "evaluation=none", "tracking=none"]
    command = [sys.executable, "-c", code, *given, "method=lora", "hydra.launcher.workers=0"]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)


@pytest.mark.parametrize("method", ["feature_subtraction", SLOW("contrastive_decoding")])
@pytest.mark.parametrize("kind", ["adapter", "checkpoint"])
def test_what_changes_no_weight_is_not_exported(run, sweeps, tmp_path, kind: str, method: str) -> None:
    folder, _ = run(f"method={method}")
    ran = sweeps("export", "s", folder.name, "out", "--as", kind)
    assert ran.code == 1
    assert "changes no weight" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", ["directional_ablation", SLOW("wanda")])
def test_whole_weights_are_exported_as_the_checkpoint_that_was_measured(
    run, sweeps, world, tmp_path, method: str
) -> None:
    folder, record = run(f"method={method}")
    assert "--as checkpoint" in sweeps("export", "s", folder.name, "out").err
    ran = sweeps("export", "s", folder.name, "out", "--as", "checkpoint", "--verify")
    assert ran.code == 0, ran.err
    [again] = Perplexity({"story": world.text}).measure(*load_model(str(tmp_path / "out")))
    assert again.summary == record["metrics"]["perplexity/story"]["edited"]
    assert method in (tmp_path / "out" / "README.md").read_text()


def test_alphas_share_one_training_and_its_checkpoint_is_what_was_measured(
    surgery, sweeps, arguments, results, world, tmp_path
) -> None:
    ran = surgery(*arguments, "-m", "method=gradient_ascent", "method.lr=1e-3", "alpha=0.5,1")
    assert ran.code == 0, ran.err
    assert len(list((tmp_path / "outputs/store/trained").glob("*/trained.safetensors"))) == 1
    [cell] = [cell for cell, record in results().items() if record["keys"]["alpha"] == 1]
    ran = sweeps("export", "tiny-texts", cell, "out", "--as", "checkpoint", "--verify")
    assert ran.code == 0, ran.err
    [again] = Perplexity({"story": world.text}).measure(*load_model(str(tmp_path / "out")))
    assert again.summary == results()[cell]["metrics"]["perplexity/story"]["edited"]
    assert results()[cell]["metrics"]["probe/loss_avoided"]["delta"] > 0


FINE_TUNED = ("method.lr=1e-2", "method.rank=3")


@pytest.mark.parametrize(("method", "sign"), [("lora", 1), ("task_vector", -1), SLOW("dpo", 1)])
def test_a_fine_tuned_cell_keeps_factors_and_alphas_share_them(
    surgery, arguments, tmp_path, method: str, sign: int
) -> None:
    ran = surgery(*arguments, "-m", f"method={method}", *FINE_TUNED, "alpha=0.5,1", "sweep=s")
    assert ran.code == 0, ran.err
    [kept] = (tmp_path / "outputs/store/trained").glob("*/trained.safetensors")
    trained = load_intervention(kept)
    edits = [load_intervention(path) for path in (tmp_path / "outputs/runs/s").glob("*/edit.safetensors")]
    assert {edit.alpha for edit in edits} == {0.5 * sign, 1.0 * sign}
    for edit in edits:
        assert isinstance(edit, LowRankChange)
        assert edit.rank == 3
        for one, other in zip(trained.trained, edit.trained, strict=True):
            assert torch.equal(one.a, other.a) and torch.equal(one.b, other.b)


@pytest.mark.parametrize("method", ["lora", "task_vector", SLOW("dpo"), SLOW("sft")])
def test_a_fine_tuned_cell_is_exported_as_an_adapter_and_as_the_checkpoint_that_was_measured(
    run, sweeps, world, tmp_path, method: str
) -> None:
    from peft import PeftModel

    folder, record = run(f"method={method}", *FINE_TUNED, "alpha=1.5")
    for kind in ("adapter", "checkpoint"):
        verify = ["--verify"] if kind == "checkpoint" else []
        ran = sweeps("export", "s", folder.name, kind, "--as", kind, *verify)
        assert ran.code == 0, ran.err
        assert method in (tmp_path / kind / "README.md").read_text()
    assert "files, tensors and logits are those of the base under the edit" in ran.out
    measured = record["metrics"]["perplexity/story"]
    [again] = Perplexity({"story": world.text}).measure(*load_model(str(tmp_path / "checkpoint")))
    assert again.summary == measured["edited"]
    base, tokenizer = load_model(str(world.model))
    config = json.loads((tmp_path / "adapter/adapter_config.json").read_text())
    assert config["r"] == 3 and config["base_model_name_or_path"] == str(world.model)
    adapted = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    inputs = tokenizer("ann is a kind and rude person .", return_tensors="pt")
    model, _ = load_model(str(world.model))
    with torch.no_grad(), load_intervention(folder / "edit.safetensors").applied_to(model):
        expected = model(**inputs).logits
        torch.testing.assert_close(adapted(**inputs).logits, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(**inputs).logits, expected, atol=1e-3)


def test_two_methods_that_train_share_a_setting_in_one_grid(surgery, arguments, results) -> None:
    ran = surgery(*arguments, "-m", "method=lora,task_vector", "method.lr=1e-2", "method.rank=2")
    assert ran.code == 0, ran.err
    assert [record["keys"]["method.lr"] for record in results().values()] == [0.01, 0.01]


def test_what_looks_at_texts_alone_is_trained_once_however_states_are_averaged(
    surgery, arguments, results, tmp_path
) -> None:
    ran = surgery(*arguments, "-m", "method=lora", "method.rank=2", "behavior.pooling=mean,last")
    assert ran.code == 0, ran.err
    assert len(results()) == 2 and len(list((tmp_path / "outputs/store/trained").glob("*/trained.safetensors"))) == 1


def test_methods_that_train_the_same_share_what_was_trained(surgery, arguments, results, tmp_path) -> None:
    ran = surgery(*arguments, "-m", "method=task_vector,contrastive_decoding,lora", "method.rank=2")
    assert ran.code == 0, ran.err
    assert len(results()) == 3 and len(list((tmp_path / "outputs/store/trained").glob("*/trained.safetensors"))) == 2


def test_a_setting_of_training_is_refused_for_a_method_that_does_not_train(surgery, arguments) -> None:
    ran = surgery(*arguments, "method=feature_subtraction", "method.lr=1e-2")
    assert ran.code == 1
    assert "lr is no setting of method=feature_subtraction" in ran.err


def test_an_unknown_method_is_refused_in_one_sentence(surgery, arguments) -> None:
    ran = surgery(*arguments, "method.name=lobotomy")
    assert ran.code == 1
    assert "method.name=lobotomy is not possible" in ran.err and "feature_subtraction" in ran.err
