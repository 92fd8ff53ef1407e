"""What an earlier version left is read: `earlier/` was written before modules moved to where they are now."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hydra.utils import get_object

EARLIER = Path(__file__).parent / "earlier"
GIVEN = [
    "model.path=world/tiny",
    "behavior.path=world/texts.csv",
    "tracking=none",
    "hydra.launcher.workers=0",
    "sweep=earlier",
]
SAID = (
    "+evaluation.measurements.said={_target_: evaluation.continuations.Continuations, prompts: world/prompts.txt, "
    "generation: {_target_: evaluation.generation.Generation, max_new_tokens: 5}, "
    "scorers: {fluency: {_target_: evaluation.fluency.Fluency}}}"
)
COMMANDS = [
    ["-m", "evaluation=none", SAID, "alpha=1,2", "top_k=20"],
    ["evaluation=own", "evaluation.text=world/story.txt", "alpha=1", "top_k=20"],
    ["evaluation=own", "evaluation.text=world/story.txt", "method=lora", "method.epochs=1", "method.lr=0.01"],
]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """The sweep's folder, in a folder from which its commands can be given again."""
    shutil.copytree(EARLIER / "world", tmp_path / "world")
    shutil.copytree(EARLIER / "kept", tmp_path / "outputs")
    return tmp_path / "outputs" / "runs" / "earlier"


def results_in(sweep: Path) -> dict[str, dict[str, object]]:
    return {path.parent.name: json.loads(path.read_text()) for path in sweep.glob("*/result.json")}


def targets(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["_target_"]} if "_target_" in node else set()
        return own.union(*map(targets, node.values()))
    return set().union(*map(targets, node)) if isinstance(node, list) else set()


def test_its_records_are_read(kept, sweeps) -> None:
    import sweeps as package

    table = package.load("earlier", output_dir=kept.parents[1])
    assert sorted(table.index) == sorted(results_in(kept))
    shown = sweeps("status", "earlier", "--output-dir", str(kept.parents[1]))
    assert (shown.code, "4" in shown.out) == (0, True), shown.err


def test_its_cells_are_finished_for_the_same_commands(kept, surgery) -> None:
    before = results_in(kept)
    for arguments in COMMANDS:
        ran = surgery(*GIVEN, *arguments)
        assert ran.code == 0, ran.err
        assert "finished already" in ran.err
    assert results_in(kept) == before


def test_its_store_serves_cells_that_are_run_again(kept, surgery) -> None:
    """Nothing is made twice: the entries are those that there were, and the metrics and edits come out equal."""
    before = results_in(kept)
    entries = {path.relative_to(kept.parents[1]) for path in (kept.parents[1] / "store").glob("[!w]*/[!.]*")}
    shutil.rmtree(kept)
    for arguments in COMMANDS:
        assert surgery(*GIVEN, *arguments).code == 0
    after = results_in(kept)
    assert after.keys() == before.keys()
    for cell, record in after.items():
        # An earlier version did not tell how large a step an edit is.
        assert (record["edit"].pop("step", None) is not None) == (record["keys"]["method"] == "surgery")
        # It added what a bootstrap had not seen to the perplexity, and not to the loss that this is a function of.
        for name, metric in record["metrics"].items():
            if name.startswith("perplexity/"):
                earlier = before[cell]["metrics"][name]
                assert metric.pop("ci95") == pytest.approx(earlier.pop("ci95"), rel=0.01)
        for part in ("metrics", "edit", "probe", "keys", "protocol", "store", "model"):
            assert record[part] == before[cell][part], (cell, part)
    now = {path.relative_to(kept.parents[1]) for path in (kept.parents[1] / "store").glob("[!w]*/[!.]*")}
    assert now == entries


def test_the_targets_that_its_configs_name_are_there(kept) -> None:
    named = targets([yaml.safe_load(path.read_text()) for path in kept.glob("*/config.yaml")])
    assert {"evaluation.own.own_evaluators", "evaluation.continuations.Continuations"} <= named
    for name in (*named, "evaluation.imported.ImportedScores"):
        assert callable(get_object(name))
