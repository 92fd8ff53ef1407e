"""Searches: what is asked for, what is given up, what a killed one leaves."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState

from sweeps.records.record import load_records
from sweeps.results.giving_up import Objective
from sweeps.search.optuna_study import Study
from sweeps.search.sampler import make_sampler
from sweeps.search.search_space import SearchSpace

SURGERY = str(Path(sys.executable).parent / "surgery")
SEARCH = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.startup=3")
SPACE = ("alpha=interval(-2,2)", "top_k=tag(log,int(interval(1,40)))")
GOAL = "hydra.sweeper.directions={perplexity/story: minimize}"
FOLDER = Path("outputs") / "runs" / "tiny-texts"
WITH_FAULTS = {"PYTHONPATH": str(Path(__file__).parent)}


def cells(folder: Path) -> dict[str, dict[str, object]]:
    """The keys that were searched, by cell, of those that are done."""
    return {r.cell: {k: r.keys[k] for k in ("alpha", "top_k")} for r in load_records(folder) if r.status == "done"}


def rows(arguments: list[str], log: Path, *more: str) -> list[str]:
    """The arguments with a measurement that is lowest where 10 rows are edited, in place of theirs."""
    kept = [argument for argument in arguments if not argument.startswith("evaluation.")]
    target = f"{{_target_: faults.Rows, best: 10, log: {log}}}"
    return [*kept, "evaluation=none", f"+evaluation.measurements.rows={target}", *more]


def until_a_cell_has_ended(given: list[str], folder: Path, longer: float = 0.0) -> None:
    """Runs `surgery` so long, and a few seconds longer, and kills it."""
    process = subprocess.Popen(
        [SURGERY, *given],
        cwd=folder,
        env={**os.environ, **WITH_FAULTS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("["):
            break
    time.sleep(longer)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.slow
def test_a_search_asks_for_so_many_cells_and_goes_on_where_it_stopped(surgery, sweeps, arguments, tmp_path) -> None:
    ran = surgery(*arguments, *SEARCH, *SPACE, GOAL, "hydra.sweeper.n_trials=4")
    assert ran.code == 0, ran.err
    first = cells(tmp_path / FOLDER)
    assert len(first) == 4
    assert all(-2 <= cell["alpha"] <= 2 and 1 <= cell["top_k"] <= 40 for cell in first.values())
    assert "[4/4]" in ran.err
    assert "* chosen on all samples, since it has no selection half" in ran.out
    with open(tmp_path / FOLDER / "results.csv", newline="") as file:
        table = {row["cell"]: float(row["perplexity/story"]) for row in csv.DictReader(file)}
    assert f"{min(table, key=table.get)} *" in ran.out
    # Whoever asks later chooses by what the search was after, which is not what a grid here is chosen by.
    best = sweeps("best", "tiny-texts")
    assert best.out.splitlines()[0] in ran.out.splitlines(), best.err
    # Another condition alone: the goal is still the search's.
    second = sweeps("best", "tiny-texts", "--where", f"perplexity/story > {min(table.values())}")
    assert sorted(table, key=table.__getitem__)[1] in second.out, second.err
    again = surgery(*arguments, *SEARCH, *SPACE, GOAL, "hydra.sweeper.n_trials=4")
    assert again.code == 0
    assert "[" not in again.err
    assert again.out == ran.out
    more = surgery(*arguments, *SEARCH, *SPACE, GOAL, "hydra.sweeper.n_trials=6")
    assert "[5/6]" in more.err
    later = cells(tmp_path / FOLDER)
    assert len(later) == 6
    assert first.items() <= later.items()


@pytest.mark.parametrize(
    "sampler", ["random", *(pytest.param(one, marks=pytest.mark.slow) for one in ("tpe", "nsga2", "gp"))]
)
def test_every_sampler_searches_for_several_goals_at_once(sampler, surgery, arguments, tmp_path) -> None:
    goals = "hydra.sweeper.directions={perplexity/story: minimize, probe/loss_avoided: maximize}"
    found = (goals, f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.n_trials=6")
    ran = surgery(*arguments, *SEARCH, *SPACE, *found)
    assert ran.code == 0, ran.err
    records = load_records(tmp_path / FOLDER)
    assert len(records) == 6
    measured = {
        r.cell: (r.metrics["perplexity/story"].edited, -r.metrics["probe/loss_avoided"].edited) for r in records
    }
    front = {
        cell
        for cell, (a, b) in measured.items()
        if not any((x <= a and y <= b) and (x, y) != (a, b) for x, y in measured.values())
    }
    told = ran.out[ran.out.index("no cell is better in every objective") :]
    assert {cell for cell in measured if cell in told} == front


@pytest.mark.slow
def test_seeds_give_other_cells_and_the_same_seed_the_same(surgery, arguments, tmp_path) -> None:
    found = []
    for output, seed in (("a", 0), ("b", 0), ("c", 1)):
        given = (GOAL, "hydra.sweeper.n_trials=4", f"hydra.sweeper.seed={seed}", f"output_dir={output}")
        assert surgery(*arguments, *SEARCH, *SPACE, *given).code == 0
        found.append(cells(tmp_path / output / "runs" / "tiny-texts"))
    assert found[0] == found[1]
    assert found[0].keys().isdisjoint(found[2])


@pytest.mark.slow
def test_a_learning_sampler_comes_nearer_than_chance(surgery, arguments, faults, tmp_path) -> None:
    """The measurement is lowest at 10 of 160 rows; half of what chance names is 70 and more rows away."""
    goal = ("hydra.sweeper.directions={distance: minimize}", "hydra.sweeper.prune=false", "alpha=1")
    space = "top_k=int(interval(1,160))"
    ran = surgery(*rows(arguments, tmp_path / "log"), *SEARCH, space, *goal, "hydra.sweeper.n_trials=20")
    assert ran.code == 0, ran.err
    in_order = [int(line.split()[1]) for line in (tmp_path / "log").read_text().splitlines() if "part" not in line][1:]
    assert len(in_order) == 20
    late = sorted(abs(k - 10) for k in in_order[10:])
    assert late[len(late) // 2] <= 35
    assert min(abs(k - 10) for k in in_order) <= 5


@pytest.mark.slow
def test_conditional_ranges_are_followed(surgery, arguments, tmp_path) -> None:
    when = "hydra.sweeper.when={alpha_unit: {unit: {alpha: 'interval(5,6)'}}}"
    ran = surgery(
        *arguments,
        *SEARCH,
        "alpha=interval(0.1,0.2)",
        "alpha_unit=raw,unit",
        "top_k=4",
        when,
        GOAL,
        "hydra.sweeper.n_trials=6",
    )
    assert ran.code == 0, ran.err
    keys = [record.keys for record in load_records(tmp_path / FOLDER)]
    assert {key["alpha_unit"] for key in keys} == {"raw", "unit"}
    assert all((key["alpha"] >= 5) == (key["alpha_unit"] == "unit") for key in keys)
    told = [line.partition(": ")[0] for line in ran.err.splitlines() if line.startswith("[")]
    assert told and all("alpha_unit=" in line for line in told), (
        "every key that is searched tells a cell from the others"
    )


@pytest.mark.slow
def test_what_goes_with_a_searched_value_is_in_no_line(surgery, arguments) -> None:
    ran = surgery(*arguments, *SEARCH, "probe=adam,logistic", "alpha=0.1", "top_k=4", GOAL, "hydra.sweeper.n_trials=2")
    assert ran.code == 0, ran.err
    told = [line.partition(": ")[0] for line in ran.err.splitlines() if line.startswith("[")]
    assert len(told) == 2
    assert all("probe=" in line and "probe.lr" not in line for line in told), told


@pytest.mark.slow
def test_cells_of_a_grid_are_taken_up_and_not_counted(surgery, arguments, calls_of_perplexity, tmp_path) -> None:
    assert surgery(*arguments, "-m", "alpha=1", "top_k=2,3,5").code == 0
    before = len(calls_of_perplexity)
    ran = surgery(*arguments, *SEARCH, "alpha=1", "top_k=2,3,5,7", GOAL, "hydra.sweeper.n_trials=3")
    assert ran.code == 0, ran.err
    assert len(calls_of_perplexity) == before + 1
    assert {cell["top_k"] for cell in cells(tmp_path / FOLDER).values()} == {2, 3, 5, 7}
    assert "named nothing but cells that it had named before" in ran.out


@pytest.fixture
def calls_of_perplexity(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    from evaluation.perplexity import Perplexity

    calls: list[object] = []
    original = Perplexity.measure
    monkeypatch.setattr(Perplexity, "measure", lambda *given: calls.append(1) or original(*given))
    return calls


@pytest.mark.slow
def test_a_hopeless_cell_is_given_up_after_a_part_and_before_dearer_measurements(
    surgery, arguments, faults, sweeps, tmp_path
) -> None:
    log = tmp_path / "log"
    dear = f"+evaluation.measurements.dear={{_target_: faults.Rows, best: 0, log: {log}, cost: 3, name: dear}}"
    goal = "hydra.sweeper.directions={distance: minimize}"
    given = (*rows(arguments, log, dear), *SEARCH, "alpha=1", "top_k=8,20,40", goal)
    ran = surgery(*given, "hydra.sweeper.n_trials=3")
    assert ran.code == 0, ran.err
    records = {record.keys["top_k"]: record for record in load_records(tmp_path / FOLDER)}
    assert records[8].status == "done"
    said = log.read_text().splitlines()
    pruned = [k for k, record in records.items() if record.status == "pruned"]
    assert pruned
    for top_k in pruned:
        assert said.count(f"distance {top_k} part") == 1
        assert f"distance {top_k} all" not in said
        assert not any(line.startswith(f"dear {top_k} ") for line in said)
        assert "it is dominated: distance is" in str(records[top_k].error)
        assert records[top_k].error in ran.err
        assert not (tmp_path / FOLDER / records[top_k].cell / "samples.parquet").exists()
    with open(tmp_path / FOLDER / "results.csv", newline="") as file:
        assert {row["cell"] for row in csv.DictReader(file)} == {r.cell for r in records.values() if r.status == "done"}
    assert f"{len(pruned)} of 3 cells were given up" in ran.out
    status = sweeps("status", "tiny-texts")
    assert status.code == 0
    assert f"{len(pruned)} pruned" in status.out
    # Asked for outside of a search it is measured whole.
    assert surgery(*rows(arguments, log, dear), "-m", "alpha=1", f"top_k={pruned[0]}").code == 0
    [again] = [record for record in load_records(tmp_path / FOLDER) if record.keys["top_k"] == pruned[0]]
    assert again.status == "done"


@pytest.mark.slow
def test_without_pruning_every_cell_is_measured_whole(surgery, arguments, faults, tmp_path) -> None:
    goal = ("hydra.sweeper.directions={distance: minimize}", "hydra.sweeper.prune=false")
    given = (*rows(arguments, tmp_path / "log"), *SEARCH, "alpha=1", "top_k=8,20,40", *goal)
    assert surgery(*given, "hydra.sweeper.n_trials=3").code == 0
    assert [record.status for record in load_records(tmp_path / FOLDER)] == ["done"] * 3
    assert "part" not in (tmp_path / "log").read_text()


def test_a_cell_that_breaks_a_condition_is_given_up_and_never_chosen(surgery, arguments, faults, tmp_path) -> None:
    given = ("hydra.sweeper.directions={distance: minimize}", "hydra.sweeper.where=['distance >= 5']")
    ran = surgery(
        *rows(arguments, tmp_path / "log"), *SEARCH, "alpha=1", "top_k=9,16", *given, "hydra.sweeper.n_trials=2"
    )
    assert ran.code == 0, ran.err
    records = {record.keys["top_k"]: record for record in load_records(tmp_path / FOLDER)}
    assert records[9].status == "pruned"
    assert "it breaks distance >= 5 (1" in str(records[9].error)
    assert f"{records[16].cell} *" in ran.out


@pytest.mark.slow
def test_a_failed_cell_counts_is_told_and_can_be_tried_again(arguments, command, tmp_path) -> None:
    log = tmp_path / "log"
    fault = f"{{_target_: faults.Fault, how: raise, rows: 8, log: {log}, times: 1}}"
    kept = [argument for argument in arguments if not argument.startswith("evaluation.")]
    given = [*kept, "evaluation=none", f"+evaluation.measurements.fault={fault}", *SEARCH, "alpha=1", "top_k=4,8,12"]
    given += ["hydra.sweeper.directions={rows_changed: minimize}", "hydra.sweeper.n_trials=3"]
    ran = command("surgery", *given, env=WITH_FAULTS)
    assert ran.code == 1
    assert "1 of 3 cells failed" in ran.out
    again = command("surgery", *given, env=WITH_FAULTS)
    assert again.code == 1
    assert log.read_text().split().count("8") == 1
    retried = command("surgery", *given, "retry_failed=true", env=WITH_FAULTS)
    assert retried.code == 0, retried.err
    assert {record.status for record in load_records(tmp_path / FOLDER)} == {"done"}


@pytest.mark.slow
def test_a_killed_search_goes_on_to_the_cells_of_an_undisturbed_one(surgery, arguments, tmp_path) -> None:
    given = [*arguments, *SEARCH, *SPACE, GOAL, "hydra.sweeper.n_trials=8"]
    assert surgery(*given, "output_dir=undisturbed").code == 0
    chance = random.Random(0)
    for _ in range(3):
        until_a_cell_has_ended(given, tmp_path, chance.uniform(0, 0.3))
    assert surgery(*given).code == 0
    whole = {r.cell: r.metrics for r in load_records(tmp_path / "undisturbed" / "runs" / "tiny-texts")}
    assert {r.cell: r.metrics for r in load_records(tmp_path / FOLDER)} == whole


def test_a_cell_that_ran_when_the_process_was_killed_had_not_ended(arguments, command, tmp_path) -> None:
    fault = f"{{_target_: faults.Fault, how: kill, rows: 8, log: {tmp_path / 'log'}, times: 1}}"
    kept = [argument for argument in arguments if not argument.startswith("evaluation.")]
    given = [*kept, "evaluation=none", f"+evaluation.measurements.fault={fault}", *SEARCH, "alpha=1", "top_k=4,8,12"]
    given += ["hydra.sweeper.directions={rows_changed: minimize}", "hydra.sweeper.n_trials=3"]
    counts = []
    for code in (-signal.SIGKILL, 0):
        ran = command("surgery", *given, env=WITH_FAULTS)
        assert ran.code == code, ran.err
        counts += re.findall(r"^\[(\d)/3\]", ran.err, re.MULTILINE)
    assert counts == ["1", "2", "3"]


@pytest.mark.slow
def test_two_processes_share_a_search(arguments, tmp_path) -> None:
    log = tmp_path / "log"
    goal = "hydra.sweeper.directions={distance: minimize}"
    given = [*rows(arguments, log), *SEARCH, "alpha=1", "top_k=int(interval(1,160))", goal, "hydra.sweeper.n_trials=10"]
    given.append("hydra.sweeper.prune=false")
    both = [
        subprocess.Popen(
            [SURGERY, *given],
            cwd=tmp_path,
            env={**os.environ, **WITH_FAULTS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    measured = Counter(line.split()[1] for line in log.read_text().splitlines())
    del measured["0"]
    assert len(measured) == 10
    assert set(measured.values()) == {1}
    assert len(cells(tmp_path / FOLDER)) == 10


@pytest.mark.slow
def test_two_workers_are_kept_busy(arguments, command, tmp_path) -> None:
    in_workers = [argument for argument in arguments if not argument.startswith(("hydra.launcher", "evaluation."))]
    slow = f"+evaluation.measurements.slow={{_target_: faults.Fault, how: slow, rows: 0, log: {tmp_path / 'log'}}}"
    goal = ("hydra.sweeper.directions={rows_changed: minimize}", "hydra.sweeper.n_trials=6", "hydra.launcher.workers=2")
    ran = command("surgery", *in_workers, "evaluation=none", slow, *SEARCH, *SPACE, *goal, env=WITH_FAULTS)
    assert ran.code == 0, ran.err
    # As one ends the other one runs.
    assert "1 running" in ran.err
    assert len(cells(tmp_path / FOLDER)) == 6


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp"])
def test_which_cell_ends_first_does_not_change_what_is_asked_for(sampler, tmp_path) -> None:
    given = OverridesParser.create().parse_overrides(["alpha=interval(-2,2)", "layer=a,b,c"])

    def search(chance: random.Random, folder: str, best: float = 0.7) -> list[list[str]]:
        study = Study(
            tmp_path / folder,
            SearchSpace.parse(given, None),
            [Objective("far", True)],
            lambda seed: make_sampler(sampler, seed, 4),
            seed=0,
            lag=6,
        )
        asked: list[list[str]] = []
        running: list[int] = []
        while len(asked) < 16 or running:
            while len(asked) < 16 and len(running) < 4 and not study.waits():
                number, overrides = study.ask()
                study.is_cell(number, f"cell {number}")
                asked.append(overrides)
                running.append(number)
            number = running.pop(chance.randrange(len(running)))
            alpha = float(asked[number][0].removeprefix("alpha="))
            study.tell(number, TrialState.COMPLETE, [abs(alpha - best)], {"near": alpha - 1})
        study.close()
        return asked

    once = search(random.Random(1), "once")
    assert search(random.Random(2), "again") == once
    # What ended long enough before is learned from.
    elsewhere = search(random.Random(1), "elsewhere", best=-0.7)
    assert elsewhere[:6] == once[:6]
    assert elsewhere[6:] != once[6:]


@pytest.mark.slow
def test_a_search_by_two_workers_is_repeatable_even_when_it_was_killed(arguments, command, tmp_path) -> None:
    in_workers = [argument for argument in arguments if not argument.startswith(("hydra.launcher", "evaluation."))]
    uneven = f"+evaluation.measurements.slow={{_target_: faults.Fault, how: uneven, rows: 0, log: {tmp_path / 'log'}}}"
    goal = ("hydra.sweeper.directions={rows_changed: minimize}", "hydra.sweeper.n_trials=9", "hydra.launcher.workers=2")
    given = [*in_workers, "evaluation=none", uneven, *SEARCH, *SPACE, *goal]
    until_a_cell_has_ended([*given, "output_dir=killed"], tmp_path)
    found = []
    for folder in ("undisturbed", "killed"):
        ran = command("surgery", *given, f"output_dir={folder}", env=WITH_FAULTS)
        assert ran.code == 0, ran.err
        found.append({r.cell: r.metrics for r in load_records(tmp_path / folder / "runs" / "tiny-texts")})
    assert len(found[0]) == 9
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_damaged_journal_is_named_and_the_cells_are_kept(surgery, arguments, tmp_path) -> None:
    given = (*arguments, *SEARCH, *SPACE, GOAL)
    assert surgery(*given, "hydra.sweeper.n_trials=3").code == 0
    journal = tmp_path / FOLDER / "search.journal"
    sound = journal.read_bytes()
    for place in (5, len(sound) // 2, len(sound) - 3):
        journal.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        ran = surgery(*given, "hydra.sweeper.n_trials=4")
        assert ran.code == 1
        assert "search.journal' is damaged" in ran.err.splitlines()[-1]
    journal.unlink()
    ran = surgery(*given, "hydra.sweeper.n_trials=4")
    assert ran.code == 0, ran.err
    assert len(cells(tmp_path / FOLDER)) >= 4


@pytest.mark.slow
def test_a_half_written_line_is_dropped(surgery, arguments, tmp_path) -> None:
    given = (*arguments, *SEARCH, *SPACE, GOAL)
    assert surgery(*given, "hydra.sweeper.n_trials=3").code == 0
    with open(tmp_path / FOLDER / "search.journal", "ab") as file:
        file.write(b'{"op_code":4,"worker')
    assert surgery(*given, "hydra.sweeper.n_trials=4").code == 0
    assert len(cells(tmp_path / FOLDER)) == 4


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (("hydra.sweeper.sampler=cma",), "hydra.sweeper.sampler=cma is unknown; it is one of tpe, nsga2, gp, random"),
        (("hydra.sweeper.n_trials=0",), "hydra.sweeper.n_trials=0 is not possible: it is a whole number from 1"),
        (("hydra.sweeper.directions={perplexity/story: down}",), "perplexity/story is to be minimize or maximize"),
        (("hydra.sweeper.directions=null", "evaluation.choose=null"), "nothing says what the search is after"),
        (("hydra.sweeper.where=[nonsense]",), "'nonsense' is no condition"),
        (("hydra.sweeper.trials=3",), "did you mean 'hydra.sweeper.n_trials'?"),
        (("top_k=int(interval(1,100000))",), "top_k=100000"),
        (("layer=range(1,20)",), "layer=19 is not in this model"),
        (("probe=adam,logistik",), "did you mean probe=logistic?"),
        (("alpha=interval(4,1)",), "the lower one comes first"),
    ],
)
def test_a_search_that_can_not_be_is_refused_in_one_line(given, part, surgery, arguments, tmp_path) -> None:
    ran = surgery(*arguments, *SEARCH, *SPACE, GOAL, *given)
    assert ran.code == 1
    assert part in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "after",
    [["hydra.sweeper.directions={perplexity/stry: minimize}"], [GOAL, "hydra.sweeper.where=[perplexity/stry <= 20]"]],
)
def test_a_goal_or_condition_that_will_not_be_measured_is_told_before_the_first_cell(
    surgery, arguments, tmp_path, after
) -> None:
    ran = surgery(*arguments, *SEARCH, *SPACE, *after, "hydra.sweeper.n_trials=4")
    assert ran.code == 1
    assert "asks for perplexity/stry, which is not measured here; what is measured is perplexity/story" in ran.err
    assert not list(tmp_path.iterdir())


def test_a_dry_run_shows_the_space_and_writes_nothing(surgery, arguments, tmp_path) -> None:
    ran = surgery(*arguments, *SEARCH, *SPACE, GOAL, "dry_run=true")
    assert ran.code == 0
    assert "1 to 40 (log)" in ran.out
    assert "after lowest perplexity/story" in ran.out
    assert not list(tmp_path.iterdir())


def test_a_search_with_nothing_to_choose_is_one_cell(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, *SEARCH, "alpha=1", "top_k=4", GOAL).code == 0
    assert list(cells(tmp_path / FOLDER).values()) == [{"alpha": 1.0, "top_k": 4}]


@pytest.mark.slow
def test_the_toy_worlds_search_finds_what_the_demos_grid_finds_with_no_more_cells(command, tmp_path) -> None:
    for experiment in ("demo", "search"):
        ran = command("surgery", f"experiment={experiment}", f"sweep={experiment}", "tracking=none")
        assert ran.code == 0, ran.err
    found = {}
    for experiment in ("demo", "search"):
        records = load_records(tmp_path / "outputs" / "runs" / experiment)
        assert len(records) == 12
        # By hand, what conf/evaluation/toyworld.yaml says, on the selection half.
        rates = []
        for metrics in (record.metrics for record in records if record.status == "done"):
            ability, fluency = metrics["selection/lm_eval/average"], metrics["selection/fluency/grammatical"]
            perplexity = metrics["selection/perplexity/heldout"]
            if (
                ability.delta >= -0.03
                and perplexity.edited <= 1.1 * perplexity.base
                and fluency.edited >= 0.9 * fluency.base
            ):
                rates.append(metrics["selection/toxicity/toxic_rate"].edited)
        found[experiment] = min(rates)
    assert found["search"] <= found["demo"]
