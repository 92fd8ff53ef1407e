"""One cell, from the command line to what it leaves."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from surgery import Edit, Probe, load_model
from surgery.texts.text_split import split_texts
from surgery.texts.texts import read_texts


@pytest.fixture
def one_cell(surgery, arguments, tmp_path) -> Path:
    ran = surgery(*arguments, "alpha=-2", "top_k=10", "alpha_unit=unit", "layer=3")
    assert ran.code == 0, ran.err
    [result] = (tmp_path / "outputs" / "runs" / "tiny-texts").glob("*/result.json")
    return result.parent


def test_a_cell_leaves_what_the_contract_names(one_cell: Path) -> None:
    assert {path.name for path in one_cell.iterdir()} == {
        "config.yaml", "result.json", "samples.parquet", "edit.safetensors"
    }  # fmt: skip
    record = json.loads((one_cell / "result.json").read_text())
    assert record["cell"] == one_cell.name
    assert record["status"] == "done"
    assert record["error"] is None
    metric = record["metrics"]["perplexity/story"]
    assert set(metric) == {"base", "edited", "delta", "ci95", "p", "n"}
    assert metric["delta"] == pytest.approx(metric["edited"] - metric["base"])
    assert metric["ci95"][0] <= metric["delta"] <= metric["ci95"][1]
    assert record["probe"]["layer"] == 3
    assert 0 <= record["metrics"]["probe/test_accuracy"]["edited"] <= 1
    assert sum(record["edit"]["rows_per_layer"].values()) == record["edit"]["rows"] == 10
    assert {"model", "probe", "region", "base", "edited"} <= set(record["seconds"])
    assert record["versions"]["torch"] == torch.__version__
    config = yaml.safe_load((one_cell / "config.yaml").read_text())
    assert (config["alpha"], config["top_k"], config["layer"]) == (-2, 10, 3)


def test_the_saved_edit_is_the_one_that_was_measured(one_cell: Path, world) -> None:
    from evaluation.perplexity import Perplexity

    record = json.loads((one_cell / "result.json").read_text())
    model, tokenizer = load_model(str(world.model))
    with Edit.load(one_cell / "edit.safetensors").applied_to(model) as receipt:
        [again] = Perplexity({"story": world.text}).measure(model, tokenizer)
    assert again.summary == record["metrics"]["perplexity/story"]["edited"]
    assert receipt.max_abs_change == record["edit"]["max_abs_change"]


def test_the_edit_adds_alpha_times_the_unit_probe_to_the_lowest_cosines_of_all_layers(one_cell: Path, world) -> None:
    """Equations 1 to 3 by hand, from the probe that the store kept."""
    from safetensors.torch import load_file

    [probe] = one_cell.parents[2].glob("store/probe/*/probe.safetensors")
    direction = load_file(probe)["weight"][1].numpy()
    model, _ = load_model(str(world.model))
    rows = {name: p.numpy().copy() for name, p in model.named_parameters() if "gate_proj" in name}
    cosines = sorted(
        (float(row @ direction / np.linalg.norm(row) / np.linalg.norm(direction)), name, index)
        for name, matrix in rows.items()
        for index, row in enumerate(matrix)
    )
    expected = {name: matrix.copy() for name, matrix in rows.items()}
    for _, name, index in cosines[:10]:
        expected[name][index] += -2 * direction / np.linalg.norm(direction)
    with Edit.load(one_cell / "edit.safetensors").applied_to(model):
        for name, parameter in model.named_parameters():
            if name in expected:
                np.testing.assert_allclose(parameter.numpy(), expected[name], atol=1e-6)


def test_results_csv_has_one_row_with_every_key_and_metric(one_cell: Path) -> None:
    with open(one_cell.parent / "results.csv", newline="") as file:
        [row] = csv.DictReader(file)
    record = json.loads((one_cell / "result.json").read_text())
    assert (row["cell"], row["alpha"], row["top_k"], row["layer"]) == (record["cell"], "-2.0", "10", "3")
    metric = record["metrics"]["perplexity/story"]
    for suffix, value in {
        "": metric["edited"],
        "/base": metric["base"],
        "/delta": metric["delta"],
        "/ci_low": metric["ci95"][0],
        "/ci_high": metric["ci95"][1],
        "/n": metric["n"],
    }.items():
        assert float(row[f"perplexity/story{suffix}"]) == pytest.approx(value)


def test_samples_hold_base_beside_edited(one_cell: Path) -> None:
    samples = pd.read_parquet(one_cell / "samples.parquet")
    losses = samples[samples["measurement"] == "probe/loss_avoided"]
    record = json.loads((one_cell / "result.json").read_text())
    metric = record["metrics"]["probe/loss_avoided"]
    assert losses["base_score"].mean() == pytest.approx(metric["base"])
    assert losses["edited_score"].mean() == pytest.approx(metric["edited"])
    assert len(losses) == metric["n"]


def test_a_single_cell_prints_a_table_before_and_after(surgery, arguments) -> None:
    ran = surgery(*arguments, "top_k=5")
    assert "perplexity/story" in ran.out
    assert "95 % interval" in ran.out
    assert "5 of 160 rows by lowest cosine" in ran.out
    assert "outputs/runs/tiny-texts" in ran.out


@pytest.mark.parametrize(
    "arguments_of_variant",
    [
        ["probe=logistic"],
        ["probe=mean_difference"],
        ["probe=random"],
        ["region=highest"],
        ["region=random"],
        ["region.per_layer=true"],
        ["region.exclude_quarter=2"],
        ["region.layers=[1,4]"],
        ["region.component=down_proj"],
        ["model.dtype=bfloat16"],
    ],
)
def test_every_variant_runs_and_is_a_cell_of_its_own(surgery, arguments, results, arguments_of_variant) -> None:
    plain = ["evaluation=none", "alpha=1", "top_k=12", *arguments]
    plain = [argument for argument in plain if not argument.startswith("evaluation.text")]
    assert surgery(*plain).code == 0
    assert surgery(*plain, *arguments_of_variant).code == 0
    records = results()
    assert len(records) == 2
    assert len({record["edit"]["fingerprint"] for record in records.values()}) == 2


def test_the_probe_and_its_losses_read_the_tokens_that_the_behavior_says(
    surgery, arguments, world, results, tmp_path
) -> None:
    assert surgery(*arguments, "top_k=12", "behavior.pooling=last", "probe=mean_difference").code == 0
    [path] = (tmp_path / "outputs").glob("store/probe/*/probe.safetensors")
    probe = Probe.load(path)
    model, tokenizer = load_model(str(world.model))
    texts = read_texts(world.texts, "text", "label", avoid=[1])
    training, test = split_texts(texts.labels, 0.1, 0, texts.texts)
    last = []
    with torch.no_grad():
        for text in texts.texts:
            shown = tokenizer(text, return_tensors="pt", truncation=True, max_length=100)
            states = model(**shown, output_hidden_states=True).hidden_states
            last.append(states[probe.layer][0, -1])
    features, labels = torch.stack(last), torch.tensor(texts.labels)
    means = [features[[i for i in training if labels[i] == label]].mean(0) for label in (0, 1)]
    torch.testing.assert_close(probe.direction(), (means[1] - means[0]) / 2, atol=2e-5, rtol=1e-3)
    [record] = results().values()
    metric = record["metrics"]["probe/loss_avoided"]
    losses = torch.nn.functional.cross_entropy(features @ probe.weight.T + probe.bias, labels, reduction="none")
    avoided = [int(i) for i in test if labels[i] == 1]
    assert metric["n"] == len(avoided)
    assert metric["base"] == pytest.approx(float(losses[avoided].mean()), rel=1e-3)


def test_with_a_random_probe_the_region_stays_that_of_the_behavior_probe(surgery, arguments, tmp_path) -> None:
    for extra in ([], ["probe=random"]):
        assert surgery(*arguments, "top_k=12", *extra).code == 0
    edits = [Edit.load(path) for path in (tmp_path / "outputs").glob("runs/*/*/edit.safetensors")]
    assert edits[0].region.fingerprint == edits[1].region.fingerprint
    assert edits[0].direction.norm() == pytest.approx(float(edits[1].direction.norm()), rel=1e-5)
    assert abs(float(torch.cosine_similarity(edits[0].direction, edits[1].direction, dim=0))) < 0.9


def test_a_saved_probe_gives_the_cell_that_its_fit_gives(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, "top_k=12").code == 0
    [probe] = (tmp_path / "outputs").glob("store/probe/*/probe.safetensors")
    assert surgery(*arguments, "top_k=12", f"probe.path={probe}").code == 0
    edits = [Edit.load(path) for path in (tmp_path / "outputs").glob("runs/*/*/edit.safetensors")]
    assert len(edits) == 2
    assert edits[0].fingerprint == edits[1].fingerprint


def test_last_and_the_number_of_layers_are_one_cell(surgery, arguments, results) -> None:
    assert surgery(*arguments, "-m", "layer=4,last").code == 0
    assert len(results()) == 1


def test_a_cell_keeps_its_id_wherever_model_and_texts_lie(surgery, arguments, world, results, tmp_path) -> None:
    import shutil

    assert surgery(*arguments).code == 0
    shutil.copytree(world.model, tmp_path / "elsewhere")
    shutil.copy(world.texts, tmp_path / "other.csv")
    shutil.copy(world.text, tmp_path / "story.txt")
    moved = ["model.path=./elsewhere", "behavior.path=other.csv", "evaluation.text=story.txt", "tracking=none"]
    assert surgery(*moved, "output_dir=second", "sweep=moved").code == 0
    [cell] = (tmp_path / "second" / "runs" / "moved").glob("*/result.json")
    assert set(results()) == {cell.parent.name}


def test_the_output_folder_explains_itself(one_cell: Path) -> None:
    ours = Path(__file__).parents[2] / "outputs" / "README.md"
    assert (one_cell.parents[2] / "README.md").read_text() == ours.read_text()
