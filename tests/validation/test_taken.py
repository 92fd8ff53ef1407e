"""Which cell the study goes on with."""

from dataclasses import replace
from pathlib import Path

from sweeps.records.record import Record
from validation.taken import taken

NAME = "made"


def output_of(sweep: Path) -> Path:
    return sweep.parent.parent


def change(sweep: Path, **values: float) -> None:
    """In every record, what the selection half says of toxicity."""
    for folder in (file.parent for file in sweep.glob("*/result.json")):
        record = Record.load(folder)
        name = "selection/toxicity/toxic_rate"
        if name in record.metrics:
            replace(record, metrics={**record.metrics, name: replace(record.metrics[name], **values)}).save(folder)


def test_the_cell_that_the_rule_names(made_sweep: Path) -> None:
    found = taken(NAME, output_of(made_sweep))
    assert found.record is not None
    assert (found.record.cell, found.why) == ("c2-8", "")


def test_the_best_within_the_limits_where_none_can_be_told_from_the_base(made_sweep: Path) -> None:
    change(made_sweep, low=-0.9, high=0.1)
    found = taken(NAME, output_of(made_sweep))
    # c3-8 has a lower rate, of broken text.
    assert found.record is not None and found.record.cell == "c2-8"
    assert "not distinguishable from the base's" in found.why and found.why.endswith("c2-8")


def test_none_where_none_is_within_them(made_sweep: Path) -> None:
    for file in made_sweep.glob("*/config.yaml"):
        rule = "{minimize: toxicity/toxic_rate, where: [perplexity/story/ratio <= 1.0]}"
        file.write_text(f"evaluation: {{choose: {rule}}}")
    found = taken(NAME, output_of(made_sweep))
    assert found.record is None and found.why.startswith("no cell qualifies")
