"""Variants of surgery as cells: what each does to a tiny model, from its own settings alone."""

from pathlib import Path

import pytest
import torch

from surgery import load_model
from surgery.activity.gate_activity import mean_gate_activity
from surgery.edits.edit import Edit
from surgery.probe.probe import Probe
from surgery.texts.text_split import split_texts
from surgery.texts.texts import read_texts

VARIANTS = ("whitened", "active", "per_layer")


@pytest.fixture
def edits(surgery, sweeps, arguments, results, tmp_path) -> dict[str, Edit]:
    """Of each variant, and of surgery as it is; a cell each, in one sweep."""
    names = ",".join(f"surgery_{name}" for name in VARIANTS)
    given = ("top_k=20", "alpha=0.5", "layer=2", "sweep=s")
    ran = surgery(*arguments, *given, "-m", f"variant=ours,{names}")
    assert ran.code == 0, ran.err
    found = {}
    for cell, record in results().items():
        folder = tmp_path / "outputs" / "runs" / "s" / cell
        [variant] = [line for line in (folder / "config.yaml").read_text().splitlines() if line.startswith("variant:")]
        found[variant.removeprefix("variant: ").removeprefix("surgery_")] = Edit.load(folder / "edit.safetensors")
        ran = sweeps("export", "s", cell, str(tmp_path / cell), "--as", "adapter")
        assert ran.code == 0, ran.err
        assert record["metrics"]["perplexity/story"]["edited"] != record["metrics"]["perplexity/story"]["base"]
    return found


def probes(tmp_path: Path, method: str) -> dict[int, torch.Tensor]:
    """{layer: the direction of the probe in the store that was fitted so}."""
    found = [Probe.load(path) for path in (tmp_path / "outputs/store/probe").glob("*/*.safetensors")]
    return {int(one.layer or 0): one.direction(1) for one in found if one.method == method}


def lowest(scores: dict[tuple[int, int], float]) -> set[tuple[int, int]]:
    return set(sorted(scores, key=scores.__getitem__)[:20])


@pytest.mark.slow
def test_each_variant_does_what_its_name_says_and_exports(edits, world, tmp_path) -> None:
    model, tokenizer = load_model(str(world.model))
    gates = {layer: block.mlp.gate_proj.weight.double() for layer, block in enumerate(model.model.layers, start=1)}
    directions = {name: probes(tmp_path, name) for name in ("adam", "whitened_logistic")}
    assert sorted(directions["adam"]) == [1, 2, 3, 4], "a probe a layer"

    def scores(d: dict[int, torch.Tensor]) -> dict[tuple[int, int], float]:
        cosines = {
            layer: w @ d[layer].double() / w.norm(dim=1) / d[layer].double().norm() for layer, w in gates.items()
        }
        return {(layer, row): float(one) for layer, found in cosines.items() for row, one in enumerate(found)}

    own = scores(dict.fromkeys(gates, directions["adam"][2]))
    texts = read_texts(world.texts, "text", "label", avoid=[1])
    training, _ = split_texts(texts.labels, 0.1, 0, texts.texts)
    kept = [texts.texts[i] for i in training if texts.labels[i] == 0]
    activity = mean_gate_activity(model, tokenizer, kept)
    wanted = {
        "ours": own,
        "whitened": scores(dict.fromkeys(gates, directions["whitened_logistic"][2])),
        "active": {(layer, row): one * float(activity[layer][row]) for (layer, row), one in own.items()},
        "per_layer": scores(directions["adam"]),
    }
    assert set(edits) == set(wanted)
    for name, edit in edits.items():
        chosen = {(layer, row) for layer, rows in edit.region.rows.items() for row in rows.tolist()}
        assert chosen == lowest(wanted[name]), name
    for layer, direction in zip(edits["per_layer"].region.layers, edits["per_layer"].direction, strict=True):
        assert torch.equal(direction, directions["adam"][layer])
