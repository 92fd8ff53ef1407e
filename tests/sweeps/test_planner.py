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


def test_another_pooling_is_another_cell_and_the_usual_one_goes_untold(world) -> None:
    materials = Materials()
    settings = ((), ("behavior.pooling=mean",), ("behavior.pooling=last",))
    plain, same, last = (plan_cell(composed(world, *one), materials).cell for one in settings)
    told = [one.keys().get("behavior.pooling") for one in (plain, same, last)]
    assert same.id == plain.id != last.id and told == [None, None, "last"]


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
