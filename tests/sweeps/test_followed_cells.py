"""Cells that follow another cell of the same command, which the paper's Table 8 is made of."""

import json
from pathlib import Path

import pytest

from surgery import InputError
from sweeps.config.composition import Composed
from sweeps.config.followed_cells import first_and_following, following

GRID = ("alpha=3", "alpha_unit=unit", "top_k=12", "sweep=chain", "-m", "layer=2,3", "composition=[layer:2]")


@pytest.fixture
def cells(surgery, arguments, results) -> dict[int, dict]:
    """The records of a grid of two, the second after the first, by layer."""
    ran = surgery(*arguments, *GRID)
    assert ran.code == 0, ran.err
    return {record["keys"]["layer"]: record for record in results().values()}


def test_the_second_cell_is_what_it_would_be_with_the_firsts_folder(cells, surgery, arguments, tmp_path) -> None:
    first, second = cells[2], cells[3]
    assert "chain" not in first["edit"]
    assert second["edit"]["chain"] == [first["edit"]["fingerprint"], second["edit"]["fingerprint"]]
    folder = tmp_path / "outputs/runs/chain" / first["cell"]
    by_hand = ("alpha=3", "alpha_unit=unit", "top_k=12", "layer=3", f"composition=[{folder}]", "output_dir=alone")
    assert surgery(*arguments, *by_hand, "sweep=chain").code == 0
    [alone] = (tmp_path / "alone/runs/chain").glob("*/result.json")
    again = json.loads(alone.read_text())
    assert (again["cell"], again["metrics"], again["edit"]) == (second["cell"], second["metrics"], second["edit"])


def test_the_same_command_again_runs_nothing(cells, surgery, arguments, tmp_path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs/runs/chain").glob("*/result.json")}
    ran = surgery(*arguments, *GRID)
    assert ran.code == 0 and "2 of 2 cells are finished already" in ran.err
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs/runs/chain").glob("*/result.json")}
    assert after == before and len(after) == 2


def test_its_record_tells_a_command_that_makes_it_alone(cells) -> None:
    assert f"outputs/runs/chain/{cells[2]['cell']}]" in cells[3]["command"]
    assert "layer:2" not in cells[3]["command"]


def test_dry_run_counts_the_cells_that_follow(surgery, arguments, tmp_path) -> None:
    ran = surgery(*arguments, *GRID, "dry_run=true")
    assert ran.code == 0, ran.err
    assert "1 more follow these" in " ".join(ran.out.split()) and "cells that would run: 2;" in ran.out
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (("layer=3",), "no other cell of this command has layer=2"),
        (("layer=2,3", "composition=[layer:2,layer:3]"), "has to stand alone"),
        (("layer=2,99",), "layer=99 is not in this model"),
    ],
)
def test_what_can_not_follow_is_one_sentence_before_anything_runs(
    surgery, arguments, tmp_path, changed, sentence
) -> None:
    ran = surgery(*arguments, *GRID, *changed)
    assert ran.code == 1 and sentence in ran.err and len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "outputs").exists()


def test_a_path_with_a_colon_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    named = Composed({"composition": [str(tmp_path / "a:b")]}, ())
    assert first_and_following([named]) == ([named], [])
    with pytest.raises(InputError, match="no other cell"):
        first_and_following([Composed({"composition": ["seed:1"]}, ("seed=2",))])


def test_following_replaces_what_was_composed() -> None:
    one = Composed({"composition": ["seed:1"], "alpha": 2}, ("seed=2", "composition=[seed:1]"))
    then = following(one, Path("runs/a"))
    assert then == Composed({"composition": ["runs/a"], "alpha": 2}, ("seed=2", "composition=[runs/a]"))
