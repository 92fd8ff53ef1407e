"""The variant of surgery as a cell: what it does to a tiny model, from its own settings alone."""

from pathlib import Path

import pytest
import torch

from surgery import load_model
from surgery.edits.edit import Edit
from surgery.probe.probe import Probe


@pytest.fixture
def edits(surgery, sweeps, arguments, results, tmp_path) -> dict[str, Edit]:
    """Of the variant, and of surgery as it is; a cell each, in one sweep."""
    given = ("top_k=20", "alpha=0.5", "layer=2", "sweep=s")
    ran = surgery(*arguments, *given, "-m", "variant=ours,surgery_whitened")
    assert ran.code == 0, ran.err
    found = {}
    for cell, record in results().items():
        folder = tmp_path / "outputs" / "runs" / "s" / cell
        found[record["keys"]["probe"]] = Edit.load(folder / "edit.safetensors")
        ran = sweeps("export", "s", cell, str(tmp_path / cell), "--as", "adapter")
        assert ran.code == 0, ran.err
        assert record["metrics"]["perplexity/story"]["edited"] != record["metrics"]["perplexity/story"]["base"]
    return found


def directions(tmp_path: Path) -> dict[str, torch.Tensor]:
    """{method: the direction of the probe in the store that was fitted so}."""
    found = [Probe.load(path) for path in (tmp_path / "outputs/store/probe").glob("*/*.safetensors")]
    return {one.method: one.direction(1) for one in found}


@pytest.mark.slow
def test_each_edits_the_rows_most_opposed_to_its_own_probe_and_exports(edits, world, tmp_path) -> None:
    model, _ = load_model(str(world.model))
    gates = {layer: block.mlp.gate_proj.weight.double() for layer, block in enumerate(model.model.layers, start=1)}
    fitted = directions(tmp_path)
    assert set(edits) == set(fitted) == {"adam", "whitened_logistic"}
    for method, edit in edits.items():
        direction = fitted[method].double()
        cosines = {
            (layer, row): float(one)
            for layer, rows in gates.items()
            for row, one in enumerate(rows @ direction / rows.norm(dim=1) / direction.norm())
        }
        chosen = {(layer, row) for layer, rows in edit.region.rows.items() for row in rows.tolist()}
        assert chosen == set(sorted(cosines, key=cosines.__getitem__)[:20]), method
        assert torch.equal(edit.direction, fitted[method])
