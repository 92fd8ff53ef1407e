"""`experiment=methods`: a search a method, each with as many cells, in processes that all of them share."""

import json
from collections import Counter
from pathlib import Path

import pytest

from sweeps.records.record import load_records

GOALS = "hydra.sweeper.directions={probe/loss_avoided: maximize, perplexity/story: minimize}"
FOLDER = Path("outputs") / "runs" / "tiny-texts-methods"


def test_each_method_is_searched_over_its_own_space_with_as_many_cells(surgery, arguments) -> None:
    extra = "+hydra.sweeper.spaces.plain={method: directional_ablation, alpha: 1}"
    ran = surgery(
        *arguments, "experiment=methods", "method=surgery,lora,plain", extra, "hydra.sweeper.n_trials=5", "dry_run=true"
    )
    assert ran.code == 0, ran.err
    told = " ".join(ran.out.split())
    of_surgery, of_lora = told[told.index("surgery") : told.index("lora")], told[told.index("lora") :]
    assert "│ alpha │ 0.1 to 6 (log)" in of_surgery and "│ layer │ 0.5, 0.75, last" in of_surgery
    assert "│ method.rank │ 4, 16" in of_lora and "top_k" not in of_lora
    # Nothing of it is chosen.
    assert "plain: one cell" in told
    assert "11 cells in all" in told
    # Nothing is looked at early, where a price is measured on the report half alone.
    assert "no cell is given up" in told
    assert "after lowest probe/loss_other and lowest perplexity/story, on the selection half" in told


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["method=surgery"], "name several, method=surgery,directional_ablation say"),
        (["method=surgery,sugery"], "nothing says what to choose for method=sugery; there are spaces for surgery, "),
        (["method=surgery,x", "+hydra.sweeper.spaces.x={}"], "method=x is unknown"),
        (["method=surgery,lora", "evaluation.text=null"], "nothing that is measured is a price"),
        (["method=surgery,lora", "layer=7"], "layer=7 is not in this model: its layers are 1 to 4"),
    ],
)
def test_what_can_not_be_searched_is_refused_in_a_line(surgery, arguments, tmp_path, given, part) -> None:
    ran = surgery(*arguments, "experiment=methods", *given)
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1, ran.err
    assert part in ran.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_lines_tell_variants_of_one_method_from_each_other(surgery, arguments) -> None:
    given = ["method=surgery,by_chance,lora", "layer=last", "alpha=0.1", "hydra.sweeper.n_trials=1"]
    given += ["+hydra.sweeper.spaces.by_chance={variant: random_probe, alpha_unit: unit}"]
    ran = surgery(*arguments, "experiment=methods", *given)
    assert ran.code == 0, ran.err
    told = [line.partition(": ")[0] for line in ran.err.splitlines() if line.startswith("[")]
    assert sum("probe=adam" in line for line in told) == sum("probe=random" in line for line in told) == 1
    assert sum("method=lora" in line and "probe" not in line for line in told) == 1


@pytest.mark.slow
def test_a_cell_that_costs_more_than_any_price_is_given_up_and_counts(
    surgery, arguments, monkeypatch, tmp_path
) -> None:
    # A random model knows nothing that an edit could make it forget: +1 % is dear here.
    monkeypatch.setattr("sweeps.equal_price.prices.BEYOND", 0.001)
    story = next(Path(one.partition("=")[2]) for one in arguments if one.startswith("evaluation.text="))
    (tmp_path / "stories.txt").write_text(story.read_text() * 20)
    (tmp_path / "mine" / "evaluation").mkdir(parents=True)
    perplexity = {"_target_": "evaluation.perplexity.Perplexity", "texts": {"stories": "stories.txt"}}
    measured = {"choose": {"minimize": "probe/loss_other"}, "probe_loss": True}
    measured["measurements"] = {"perplexity": perplexity | {"half": "selection"}}
    (tmp_path / "mine" / "evaluation" / "mine.yaml").write_text(json.dumps(measured))
    spaces = "+hydra.sweeper.spaces.{}={{method: {}, alpha: {}}}"
    given = [
        *[one for one in arguments if not one.startswith("evaluation.text=")],
        *("--config-dir", "mine", "evaluation=mine", "experiment=methods", "method=dear,cheap"),
        *(spaces.format("dear", "surgery", 1e6), spaces.format("cheap", "directional_ablation", 1e-6)),
    ]
    assert surgery(*given).code == 0
    [dear, cheap] = sorted(load_records(tmp_path / FOLDER), key=lambda record: record.status, reverse=True)
    assert (dear.status, dear.keys["method"], cheap.status) == ("pruned", "surgery", "done")
    assert "it costs more than any price: it breaks perplexity/stories/ratio <= 1.0001 (" in str(dear.error)
    again = surgery(*given)
    assert again.code == 0
    assert "[1/" not in again.err
    assert len(load_records(tmp_path / FOLDER)) == 2


@pytest.mark.slow
def test_methods_share_a_model_and_the_same_command_goes_on(surgery, arguments, monkeypatch, tmp_path) -> None:
    from sweeps.run import workbench

    loaded = []
    monkeypatch.setattr(
        workbench, "load_model", lambda *a, load=workbench.load_model, **k: loaded.append(a) or load(*a, **k)
    )
    given = (*arguments, "experiment=methods", "method=surgery,directional_ablation,lora", GOALS)
    ran = surgery(*given, "hydra.sweeper.n_trials=2")
    assert ran.code == 0, ran.err
    assert "[6/6]" in ran.err and "method=lora" in ran.err
    assert Counter(r.keys["method"] for r in load_records(tmp_path / FOLDER)) == {
        "surgery": 2,
        "directional_ablation": 2,
        "lora": 2,
    }
    assert len(loaded) == 1
    assert "methods are not compared: not every cell measured probe/loss_other on the selection half" in ran.err
    first = {r.cell for r in load_records(tmp_path / FOLDER)}
    more = surgery(*given, "hydra.sweeper.n_trials=3")
    assert "[7/9]" in more.err
    assert first < {r.cell for r in load_records(tmp_path / FOLDER)}
    again = surgery(*given, "hydra.sweeper.n_trials=3")
    assert "[" not in again.err.split("methods are not")[0]
