"""One cell is planned as the cells of a command are, and needs no command."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from surgery.errors import InputError
from sweeps.config import resolvers
from sweeps.config.composition import Composed
from sweeps.plan.materials import Materials
from sweeps.plan.planner import make_plan, plan_cell


def composed(world, *overrides: str) -> Composed:
    resolvers.register()
    asked = [
        *("model=local", f"model.path={world.model}", "behavior=tabular", f"behavior.path={world.texts}"),
        *(f"evaluation.text={world.text}", "tracking=none", *overrides),
    ]
    with initialize_config_module("conf", version_base="1.3"):
        return Composed.of(compose("config", asked), overrides)


def test_a_cell_alone_has_the_id_that_it_has_among_others(world) -> None:
    cells = [composed(world, f"top_k={top_k}") for top_k in (4, 8)]
    materials = Materials()
    alone = [plan_cell(one, materials) for one in cells]
    plan = make_plan(cells)
    assert [one.cell.id for one in alone] == [one.cell.id for one in plan.experiments]
    assert [one.asked() for one in alone] == [one.asked() for one in plan.experiments]


def test_its_id_is_learnt_where_no_command_could_write(world, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one, other = composed(world, f"output_dir={tmp_path / 'file'}"), composed(world)
    with pytest.raises(InputError, match="can't be written to"):
        make_plan([one])
    assert plan_cell(one, Materials()).cell.id == plan_cell(other, Materials()).cell.id


@pytest.mark.parametrize("wrong", ["layer=9", "top_k=100000", "behavior.avoid=[nobody]"])
def test_what_is_wrong_with_it_is_told_in_the_same_words(world, wrong: str) -> None:
    said = []
    for check in (lambda one: make_plan([one]), lambda one: plan_cell(one, Materials())):
        with pytest.raises(InputError) as error:
            check(composed(world, wrong))
        said.append(str(error.value))
    assert said[0] == said[1]


def test_settings_of_variants_count_where_they_are_set_alone(world) -> None:
    materials = Materials()
    settings = (
        (),
        ("probe.per_layer=false", "region.activity=null", "behavior.pooling=mean"),
        ("probe.per_layer=true",),
        ("region.activity=1",),
        ("behavior.pooling=last",),
    )
    plain, same, per_layer, active, last = (plan_cell(composed(world, *one), materials).cell for one in settings)
    assert same.id == plain.id and same.keys() == plain.keys()
    assert "per_layer" not in plain.identity()["probe"] and "activity" not in plain.identity()["region"]
    assert not {"probe.per_layer", "region.activity", "method.layers", "behavior.pooling"} & set(plain.keys())
    assert len({plain.id, per_layer.id, active.id, last.id}) == 4
    assert (last.keys()["behavior.pooling"], "pooling" in plain.identity()) == ("last", False)
    assert per_layer.read_layers == per_layer.probed_layers == {1, 2, 3, 4}
    some = plan_cell(composed(world, "probe.per_layer=true", "region.layers=[2,3]", "layer=4"), materials).cell
    assert (some.layers, some.keys()["probe.per_layer"]) == ((2, 3), True)


def test_layer_and_top_k_may_be_shares_and_the_cell_is_that_of_the_numbers(world) -> None:
    # The tiny model has 4 layers of 40 rows.
    materials = Materials()
    shares, numbers, least = (
        plan_cell(composed(world, f"layer={layer}", f"top_k={top_k}"), materials).cell
        for layer, top_k in ((0.7, 0.05), (3, 8), (0.01, 0.001))
    )
    assert (shares.layer, shares.top_k) == (3, 8)
    assert shares.id == numbers.id
    assert (least.layer, least.top_k) == (1, 1)
