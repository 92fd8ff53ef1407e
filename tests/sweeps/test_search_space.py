"""What is written in the override grammar is what a search chooses from."""

import math

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from surgery import InputError
from sweeps.search.search_space import SearchSpace


def space(*overrides: str, when: dict[str, object] | None = None) -> SearchSpace:
    return SearchSpace.parse(OverridesParser.create().parse_overrides(list(overrides)), when)


def asked(of: SearchSpace, count: int = 200) -> list[dict[str, str]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [dict(text.split("=", 1) for text in of.suggest(study.ask())) for _ in range(count)]


def test_an_interval_of_floats_gives_floats_between_its_ends_with_few_digits() -> None:
    values = [float(cell["alpha"]) for cell in asked(space("alpha=interval(-1,4)"))]
    assert -1 <= min(values) < -0.8
    assert 3.8 < max(values) <= 4
    assert all(value == float(f"{value:.4g}") for value in values)


def test_rounding_stays_within_the_ends() -> None:
    low, high = 1.23456, 1.23457
    assert all(low <= float(cell["alpha"]) <= high for cell in asked(space(f"alpha=interval({low},{high})"), 20))


def test_an_interval_of_whole_numbers_gives_both_ends() -> None:
    assert {cell["top_k"] for cell in asked(space("top_k=int(interval(3,6))"))} == {"3", "4", "5", "6"}


def test_a_log_range_gives_every_power_its_share() -> None:
    values = [int(cell["top_k"]) for cell in asked(space("top_k=tag(log,int(interval(1,10000)))"), 1000)]
    logs = [math.log10(value) for value in values]
    shares = [sum(k <= log < k + 1 for log in logs) / len(logs) for k in range(4)]
    assert all(0.17 < share < 0.33 for share in shares)


def test_a_range_gives_what_a_grid_gives() -> None:
    assert {cell["layer"] for cell in asked(space("layer=range(2,9,3)"))} == {"2", "5", "8"}
    grid = {float(text) for text in ("1.0", "1.5", "2.0")}
    assert {float(cell["alpha"]) for cell in asked(space("alpha=range(1,2.5,0.5)"))} == grid


def test_options_are_kept_as_they_were_written() -> None:
    cells = asked(space("probe=adam,logistic", "region.layers=[1,2],[3]", "seed=7"))
    assert {cell["probe"] for cell in cells} == {"adam", "logistic"}
    assert {cell["region.layers"] for cell in cells} == {"[1,2]", "[3]"}
    assert {cell["seed"] for cell in cells} == {"7"}


def test_a_condition_adds_a_key_and_replaces_a_range_only_where_it_holds() -> None:
    when = {
        "probe": {"adam": {"probe.lr": "tag(log,interval(1e-4,1e-2))", "alpha": "interval(7,9)"}},
        "alpha_unit": {"unit": {"layer": "3"}},
    }
    for cell in asked(space("alpha=interval(1,4)", "probe=adam,logistic", "alpha_unit=raw,unit", when=when)):
        adam = cell["probe"] == "adam"
        assert ("probe.lr" in cell) == adam
        assert (7 <= float(cell["alpha"]) <= 9) == adam
        assert cell.get("layer") == ("3" if cell["alpha_unit"] == "unit" else None)


def test_a_condition_may_hang_on_another_one_and_on_a_fixed_key() -> None:
    when = {"seed": {1: {"probe": "adam,logistic"}}, "probe": {"adam": {"probe.epochs": "1,2"}}}
    cells = asked(space("alpha=1,2", "seed=1", when=when))
    assert {"probe.epochs" in cell for cell in cells if cell["probe"] == "adam"} == {True}
    assert {"probe.epochs" in cell for cell in cells if cell["probe"] == "logistic"} == {False}
    assert "probe" not in asked(space("alpha=1,2", "seed=2", when=when))[0]


def test_every_end_and_every_option_is_among_the_ends() -> None:
    when = {"probe": {"adam": {"probe.lr": "interval(0.1,0.2)"}}}
    ends = [
        text for cell in space("alpha=interval(1,4)", "probe=adam,logistic,random", when=when).ends() for text in cell
    ]
    for text in (
        "alpha=1.0",
        "alpha=4.0",
        "probe=adam",
        "probe=logistic",
        "probe=random",
        "probe.lr=0.1",
        "probe.lr=0.2",
    ):
        assert text in ends


def test_a_cell_has_its_place_in_the_space_or_none() -> None:
    there = space("alpha=interval(1,4)", "layer=range(2,9,3)", "seed=3")
    place = there.place({"alpha": "2.5", "layer": "5", "top_k": "9"})
    assert place is not None
    assert place.overrides == ("seed=3", "alpha=2.5", "layer=5")
    for outside in ({"alpha": "4.5", "layer": "5"}, {"alpha": "2", "layer": "6"}, {"alpha": "2"}):
        assert there.place(outside) is None


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("alpha=interval(4,1)", "the lower one comes first"),
        ("alpha=tag(log,interval(0,1))", "a log range begins above 0"),
        ("top_k=tag(log,range(1,9,2))", "a log range has no step"),
        ("alpha=tag(fast,interval(1,2))", "the tag fast is unknown"),
    ],
)
def test_a_range_that_can_not_be_searched_is_refused(override: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        space(override)


@pytest.mark.parametrize(
    ("when", "part"),
    [
        ({"probe": {"adam": {"alpha": "1,2"}}}, "which nothing sets"),
        ({"seed": "x"}, "is written as"),
        ({"seed": {"1": {"seed": "2,3"}}}, "asks for it too"),
    ],
)
def test_a_condition_that_can_not_be_is_refused(when: dict[str, object], part: str) -> None:
    with pytest.raises(InputError, match=part):
        space("alpha=interval(1,4)", "seed=1,2", when=when)


def test_the_middles_hold_every_option_and_the_middle_of_every_range() -> None:
    found = space("top_k=tag(log,interval(0.01,0.04))", "layer=int(interval(2,6))", "probe=adam,logistic", "seed=3")
    told = [dict(text.split("=", 1) for text in cell) for cell in found.middles()]
    assert [cell["probe"] for cell in told] == ["adam", "logistic"]
    assert all((cell["top_k"], cell["layer"], cell["seed"]) == ("0.02", "4", "3") for cell in told)
    # On a step of the range, as every cell of it is.
    assert space("alpha=range(1,8,3)").middles() == [["alpha=4"]]
