"""`suggest=true`, and a search that starts from what it finds."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.perplexity import Perplexity
from surgery import InputError, load_model
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.settings import MethodSettings
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.planner import make_plan
from sweeps.records.record import load_records
from sweeps.store.store import Store
from sweeps.suggest.bracket import Bracket
from sweeps.suggest.bracket_stage import bracket_identity, require_alpha_of
from sweeps.suggest.planned_step import PlannedSteps
from sweeps.suggest.suggestion_table import suggested_command
from sweeps.suggest.suggestions import Suggestion, alpha_range

from .conftest import World
from .test_planner import composed

SEARCH = ("-m", "hydra/sweeper=optuna", "alpha=suggest", "hydra.sweeper.n_trials=2", "hydra.sweeper.startup=2")
GOAL = "hydra.sweeper.directions={perplexity/story: minimize}"


@pytest.fixture(scope="module")
def planned(world: World) -> tuple[Experiment, Materials]:
    """One cell, planned; others are made of it, since to compose each takes long."""
    materials = Materials()
    given = composed(world, "alpha=7", "top_k=8", "alpha_unit=unit", "layer=2", "suggest=true", "sweep=mine")
    [experiment] = make_plan([given], materials).experiments
    return experiment, materials


def changed(experiment: Experiment, **settings: Any) -> Experiment:
    return replace(experiment, cell=replace(experiment.cell, settings=replace(experiment.cell.settings, **settings)))


def method(experiment: Experiment, name: str, **told: Any) -> Experiment:
    return changed(experiment, method=MethodSettings(name=name, **told))


def test_a_bracket_is_of_all_that_makes_the_edit_but_the_size_of_alpha(planned, world) -> None:
    one, _ = planned
    settings, own = one.cell.settings, bracket_identity(one)
    measured = replace(one, cell=replace(one.cell, evaluation={"probe_loss": False}))
    assert own == bracket_identity(changed(one, alpha=2.5)) == bracket_identity(measured)
    others = [
        changed(one, alpha=-7.0),
        changed(one, alpha_unit="raw"),
        changed(one, seed=1),
        changed(one, region=replace(settings.region, rule="highest")),
        method(one, "gate_bias"),
        replace(one, cell=replace(one.cell, layer=3)),
        replace(one, cell=replace(one.cell, top_k=4)),
        # Of another text, and of the behavior's own texts where no perplexity is measured.
        replace(one, evaluators={"perplexity": Perplexity({"story": world.prompts})}),
        replace(one, evaluators={}),
        changed(replace(one, evaluators={}), behavior=replace(settings.behavior, max_length=9)),
    ]
    keys = {canonical_json(bracket_identity(other)) for other in others}
    assert len(keys) == len(others) and canonical_json(own) not in keys


def test_of_two_texts_the_selection_halfs_is_read(planned, world) -> None:
    one, _ = planned
    report, selection = Perplexity({"a": world.text}), Perplexity({"b": world.prompts}, half="selection")
    both, alone = (
        bracket_identity(replace(one, evaluators=evaluators))
        for evaluators in ({"x": report, "y": selection}, {"y": replace(selection, half="report")})
    )
    assert both == alone


def suggestion(experiment: Experiment, readings: dict[float, float]) -> Suggestion:
    return Suggestion(experiment, Bracket(10.0, readings, "a text", 50))


def test_the_command_to_type_is_what_was_typed_with_the_alphas_found(planned) -> None:
    found = suggestion(planned[0], {1.0: 10.05, 2.0: 10.4, 3.0: 10.6, 4.0: 11.9, 5.0: 13.0})
    command = suggested_command(found, ["--config-dir", "my folder"])
    assert command is not None
    typed = ["surgery", "-m", "--config-dir", "my folder", "top_k=8", "alpha_unit=unit", "layer=2", "sweep=mine"]
    assert shlex.split(command) == [*typed, "alpha=1,2,4"]
    assert suggested_command(suggestion(planned[0], {1.0: 10.0, 2.0: 10.0})) is None


def test_a_search_goes_from_the_first_rise_of_any_cell_to_the_last_of_any(planned) -> None:
    one = suggestion(planned[0], {1.0: 10.05, 2.0: 10.4, 4.0: 11.0, 8.0: 15.0})
    other = suggestion(planned[0], {0.5: 10.05, 1.0: 10.4, 2.0: 12.5})
    assert alpha_range([one, other]) == (0.5, 4.0)
    # What no alpha shows is as far as was tried.
    assert alpha_range([suggestion(planned[0], {1.0: 10.01, 2.0: 10.02})]) == (1.0, 2.0)
    assert alpha_range([suggestion(planned[0], {-1.0: 10.05, -2.0: 10.4, -4.0: 13.0})]) == (-2.0, -1.0)


def test_a_planned_step_is_of_the_rows_in_the_models_files(planned, world, tmp_path: Path) -> None:
    one, materials = planned
    cells = [changed(one, alpha=-3.0), changed(one, alpha=3.0, alpha_unit="raw"), method(one, "directional_ablation")]
    steps = PlannedSteps(cells, materials.models, Store(tmp_path))
    gate = load_model(str(world.model))[0].model.layers[1].mlp.gate_proj.weight.numpy()
    expected = 3 / float(np.median(np.sqrt((gate**2).sum(axis=1))))
    assert [steps.told(cell) for cell in cells] == [[f"{expected:.3g}"], ["?"], ["-"]]
    assert len(steps.notes()) == 2 and "known once it is fitted" in steps.notes()[1]
    none = PlannedSteps(cells[2:], materials.models, Store(tmp_path))
    assert (bool(none), none.told(cells[2]), none.notes()) == (False, [], [])


def test_a_method_without_an_alpha_is_refused_in_one_line(planned) -> None:
    require_alpha_of(planned[0].cell)
    with pytest.raises(InputError, match="method=system_prompt has no alpha"):
        require_alpha_of(method(planned[0], "system_prompt", system="be kind").cell)


@pytest.mark.slow
def test_what_is_suggested_is_what_a_cell_measures_and_is_found_once(
    surgery, sweeps, arguments, tmp_path, monkeypatch
) -> None:
    asked = [*arguments, "alpha_unit=unit", "-m", "top_k=8,40", "suggest=true"]
    told = surgery(*asked)
    assert told.code == 0, told.err
    # No terminal: each search, which can take minutes, is told as it begins.
    assert re.findall(r"looking for .* top_k=(\d+), (\d of \d)", told.err) == [("8", "1 of 2"), ("40", "2 of 2")]
    assert not (tmp_path / "outputs" / "runs").exists()
    commands = [line.strip() for line in told.out.splitlines() if line.strip().startswith("surgery -m")]
    found = [json.loads(file.read_text()) for file in (tmp_path / "outputs" / "store").glob("bracket/*/bracket.json")]
    command = shlex.split(commands[0])[1:]
    assert surgery(*command, "hydra.launcher.workers=0").code == 0
    records = load_records(tmp_path / "outputs" / "runs" / "tiny-texts")
    alphas = re.search(r"alpha=(\S+)", commands[0])
    assert alphas is not None and len(records) == len(alphas[1].split(","))
    for record in records:
        perplexity = record.metrics["perplexity/story"]
        [bracket] = [one for one in found if any(alpha == record.keys["alpha"] for alpha, _ in one["readings"])][:1]
        assert bracket["base"] == pytest.approx(perplexity.base, rel=1e-5)
        assert dict(bracket["readings"])[record.keys["alpha"]] == pytest.approx(perplexity.edited, rel=1e-5)
        assert record.step == pytest.approx(bracket["unit_step"] * record.keys["alpha"], rel=1e-5)

    def not_again(*_: Any, **__: Any) -> None:
        raise AssertionError("the model was loaded once more")

    monkeypatch.setattr("sweeps.run.workbench.load_model", not_again)
    again = sweeps("suggest", *asked[: len(arguments) + 1], "top_k=8,40")
    assert again.code == 0, again.err
    assert "looking for" not in again.err
    assert again.out.replace("-m ", "") == told.out.replace("-m ", "")


@pytest.mark.slow
def test_a_search_keeps_the_range_that_it_began_with(surgery, arguments, tmp_path) -> None:
    given = [*arguments, *SEARCH, GOAL, "alpha_unit=unit", "top_k=8,40"]
    before = surgery(*given, "dry_run=true")
    assert before.code == 0 and "which is found out first" in before.out
    assert not list(tmp_path.iterdir())
    cluster = [one for one in given if not one.startswith("hydra.launcher")]
    ran = surgery(*cluster, "hydra/launcher=resident_slurm")
    assert ran.code == 1 and "the range of alpha is not found out yet" in ran.err and len(ran.err.splitlines()) == 1
    assert surgery(*given).code == 0
    cells = {record.cell for record in load_records(tmp_path / "outputs" / "runs" / "tiny-texts")}
    after = surgery(*given, "dry_run=true").out
    [(low, high)] = re.findall(r"alpha +│ ([\d.]+) to ([\d.]+) \(log\)", after)
    assert float(low) < float(high)
    assert surgery(*given).code == 0
    assert {record.cell for record in load_records(tmp_path / "outputs" / "runs" / "tiny-texts")} == cells
    assert len(cells) == 2
