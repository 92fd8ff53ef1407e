"""How a cell of a sweep is named: by an id's beginning, as the best, by its keys. The sweep is `made_sweep`."""

import json
from pathlib import Path

import pytest

from surgery.errors import InputError
from sweeps.config.composition import Composed
from sweeps.plan.named_cells import with_cell_folders
from sweeps.records.sweep import Sweep
from sweeps.results.cell_selector import named_cell


def test_a_cell_is_named_by_its_ids_beginning_as_the_best_or_by_its_keys(made_sweep: Path) -> None:
    sweep = Sweep(made_sweep)
    for name, cell in (
        ("c2-8", "c2-8"),
        ("f", "failed-cell"),
        ("best", "c2-8"),
        ("best,seed=0", "c2-8"),
        ("alpha=3,top_k=4", "c3-4"),
        ("top_k=4, alpha=3.0e0", "c3-4"),
    ):
        assert named_cell(name, sweep).cell == cell, name


def test_a_name_of_no_cell_or_several_is_told_with_those_there_are(made_sweep: Path) -> None:
    for name, told in (
        ("c2", "'c2' names 2 cells; there are c2-4, c2-8"),
        ("x", "'x' names 0 cells; there are c1-4"),
        ("alpha=2", "'alpha=2' means 2 cells of sweep 'made': say which of c2-4 (top_k=4 alpha=2.0), c2-8 (top_k=8"),
        ("alpha=7", "no cell of sweep 'made' has alpha=7; alpha is 1.0, 2.0, 3.0, 9.0 there"),
        ("aplha=2", "'aplha=2' is no KEY=VALUE of sweep 'made'; its cells differ in top_k, alpha"),
        ("alpha=2,8", "'8' is no KEY=VALUE"),
    ):
        with pytest.raises(InputError) as refused:
            named_cell(name, Sweep(made_sweep))
        assert told in str(refused.value)


def test_an_id_that_begins_another_is_itself(made_sweep: Path) -> None:
    (made_sweep / "c2-8").rename(made_sweep / "c2-88")
    record = json.loads((made_sweep / "c2-88" / "result.json").read_text()) | {"cell": "c2"}
    del record["sha256"]
    (made_sweep / "c2-88" / "result.json").write_text(json.dumps(record))
    assert named_cell("c2", Sweep(made_sweep)).keys["top_k"] == 8


def test_where_cells_were_measured_in_two_ways_each_has_its_best_and_both_are_listed(made_sweep: Path) -> None:
    for cell in ("c1-4", "c1-8"):
        path = made_sweep / cell / "result.json"
        record = json.loads(path.read_text()) | {"protocol": "q"}
        del record["sha256"]
        path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"'best' means 2 cells .*c1-8 \(.*measured as q\), c2-8 \(.*measured as p\)"):
        named_cell("best", Sweep(made_sweep))


def test_a_sweep_without_a_rule_or_a_better_cell_has_no_best_and_says_why(made_sweep: Path) -> None:
    for config in made_sweep.glob("*/config.yaml"):
        config.write_text("evaluation: {choose: {minimize: toxicity/toxic_rate, where: [perplexity/story < 0]}}")
    with pytest.raises(InputError, match=r"sweep 'made' has no best cell: no cell qualifies"):
        named_cell("best", Sweep(made_sweep))
    for config in made_sweep.glob("*/config.yaml"):
        config.write_text("evaluation: {}")
    with pytest.raises(InputError, match=r"no one rule to choose by; name a cell"):
        named_cell("best", Sweep(made_sweep))


def test_every_command_that_takes_a_cell_takes_all_its_names(made_sweep: Path, sweeps, monkeypatch) -> None:
    monkeypatch.chdir(made_sweep.parents[2])
    by_id = sweeps("samples", "made", "c2-8")
    assert by_id.code == 0
    assert by_id.out == sweeps("samples", "made", "best").out == sweeps("samples", "made", "alpha=2,top_k=8").out
    # What these would do next needs a model; which cell they took stands in what they refuse.
    for command in (["ask", "made", "alpha=9,seed=0", "-p", "x"], ["export", "made", "alpha=9", "out"]):
        assert "say which of failed-cell" in sweeps(*command).err
    assert "no cell of sweep 'made' has alpha=7" in sweeps("report", "made", "--cell", "alpha=7").err
    assert "no cell of sweep 'made' has alpha=7" in sweeps("verify", "made", "--cell", "alpha=7").err
    assert "no cell of sweep 'made' has alpha=7" in sweeps("verify", "made", "--rerun", "alpha=7").err


def test_a_composition_names_cells_likewise_and_records_have_their_folder(made_sweep: Path) -> None:
    typed = f"composition=[{made_sweep}/best]"
    named = Composed({"composition": [f"{made_sweep}/best"]}, ("alpha=1", typed))
    found = with_cell_folders(named)
    assert found.values["composition"] == [str(made_sweep / "c2-8")]
    assert found.overrides == ("alpha=1", f"composition=[{made_sweep}/c2-8]")
    untouched = Composed({"composition": [str(made_sweep / "c1-4"), "edit.safetensors"]}, ())
    assert with_cell_folders(untouched) is untouched
    with pytest.raises(InputError, match="no cell of sweep 'made' has alpha=7"):
        with_cell_folders(Composed({"composition": [f"{made_sweep}/alpha=7"]}, ()))
