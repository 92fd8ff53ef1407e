"""Cells whose answers the model in memory generates by continuous batching."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from evaluation.engines import in_memory_continuous
from evaluation.engines.engine import engine_of
from evaluation.engines.in_memory import InMemory
from surgery.errors import InputError
from sweeps.config import resolvers
from sweeps.config.composition import Composed
from sweeps.plan.engine_checks import require_answers
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.planner import plan_cell
from sweeps.run.run_cell import run_cell
from sweeps.run.workbench import Workbench
from sweeps.store.store import Store

CONTINUOUS = "engine.batching=continuous"


@cache
def materials() -> Materials:
    """What cells share, read once."""
    return Materials()


def planned(world: Any, *keys: str) -> Experiment:
    resolvers.register()
    asked = ["model=local", f"model.path={world.model}", "behavior=tabular", f"behavior.path={world.texts}"]
    asked += [f"evaluation.prompts={world.prompts}", "evaluation.judge=none", "tracking=none"]
    asked += ["probe=mean_difference", "top_k=24", "alpha=0.5"]
    with initialize_config_module("conf", version_base="1.3"):
        return plan_cell(Composed.of(compose("config", [*asked, *keys]), keys), materials())


def test_the_usual_batches_are_in_no_identity_and_others_are(world: Any) -> None:
    plain, ours = planned(world).cell, planned(world, CONTINUOUS).cell
    assert planned(world, "engine.batching=static").cell.id == plain.id
    assert not {"engine"} & (plain.identity().keys() | plain.keys().keys())
    assert ours.identity()["engine"] == {"name": "transformers", "batching": "continuous"}
    assert ours.keys()["engine"] == "transformers (continuous batching)"
    assert ours.id != plain.id and ours.protocol != plain.protocol


def test_what_can_not_be_generated_in_this_way_is_told_while_planning(world: Any) -> None:
    with pytest.raises(InputError, match="method=contrastive_decoding runs two models"):
        planned(world, CONTINUOUS, "method=contrastive_decoding")
    settings = planned(world, CONTINUOUS).cell.settings
    drawn = {"toxicity": [{"generation": {"max_new_tokens": 5, "do_sample": True}}], "perplexity": {"window": 64}}
    with pytest.raises(InputError, match=r"^toxicity: answers are sampled.*say engine\.batching=static"):
        require_answers(settings, drawn)
    require_answers(planned(world).cell.settings, drawn)
    with pytest.raises(InputError, match="batching"):
        planned(world, "engine.batching=padded")


@pytest.mark.slow
def test_a_cell_measures_what_it_measures_in_static_batches(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Base and edited; and only while it measures is the model asked in another way."""
    asked: list[int] = []
    own = in_memory_continuous.continued

    def counted(model: Any, rows: Any, *others: Any) -> Any:
        asked.append(len(rows))
        return own(model, rows, *others)

    monkeypatch.setattr(in_memory_continuous, "continued", counted)
    records = []
    for name, keys in (("static", ()), ("continuous", (CONTINUOUS,))):
        experiment = planned(world, *keys)
        bench = Workbench(Store(tmp_path / "store"), [experiment])
        records.append(run_cell(bench, experiment, tmp_path / name / experiment.cell.id))
        loaded = bench.model(experiment.cell.settings.model)
        assert type(engine_of(*loaded)) is InMemory and len(asked) == 2 * len(keys)
    expected, found = records
    assert set(found.metrics) == set(expected.metrics) and any(name.startswith("fluency") for name in found.metrics)
    for name, metric in found.metrics.items():
        other = expected.metrics[name]
        assert metric.edited == pytest.approx(other.edited, rel=1e-6), name
        assert metric.base is None or metric.base == pytest.approx(other.base, rel=1e-6), name
