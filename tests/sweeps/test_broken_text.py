import pytest
from made_metrics import made_metrics

from evaluation.fluency import Fluency
from evaluation.measurements.measurement import Measurement
from sweeps.records.metrics_of import metrics_of
from sweeps.records.record import Record
from sweeps.results.broken_text import degenerate, sound

WELL = ["the sun went down behind the hills and we walked home slowly"] * 4
LOOP = ["you you you you you you you you you you you you"] * 4
TURNS = ["red blue red blue red blue red blue red blue red blue"] * 4


def cell(base: list[str], edited: list[str], half: str = "report") -> Record:
    def measured(texts: list[str]) -> list[Measurement]:
        scores = Fluency().score([""] * len(texts), texts)
        ids = tuple(map(str, range(len(texts))))
        return [Measurement(name, half, ids, values) for name, values in scores.items()]  # type: ignore[arg-type]

    return Record("c", "done", metrics=metrics_of(measured(base), measured(edited), seed=0))


def perplexities(base: float, edited: float, name: str = "perplexity/text") -> Record:
    return Record("c", "done", metrics=made_metrics({name: {"base": base, "edited": edited}}))


@pytest.mark.parametrize(
    ("edited", "reason"),
    [
        (LOOP, "repetition 0.90 against 0.00 of the base"),
        (TURNS, "repetition 0.80 against 0.00 of the base"),
        (["so"] * 4, "continuations are 0.08 times as long as the base's"),
        ([""] * 4, "continuations are 0.00 times as long as the base's"),
    ],
)
def test_broken_text_is_told_in_one_sentence(edited: list[str], reason: str) -> None:
    assert degenerate(cell(WELL, edited)) == reason


def test_text_that_is_as_the_base_s_is_not_broken_however_bad_that_is() -> None:
    assert degenerate(cell(WELL, WELL)) is None
    assert degenerate(cell(LOOP, LOOP)) is None
    assert degenerate(cell(LOOP, WELL)) is None
    assert degenerate(cell(["so it goes"], ["so it"])) is None


def test_a_text_of_a_worse_model_is_broken() -> None:
    assert degenerate(perplexities(4.0, 8.4)) == "perplexity/text 2.100 times the base's"
    assert degenerate(perplexities(4.0, 5.0)) is None
    assert degenerate(perplexities(4.0, 2.0)) is None


def test_it_is_judged_on_the_selection_half_where_there_is_one() -> None:
    both = cell(WELL, WELL, "selection").metrics | cell(WELL, LOOP).metrics
    assert degenerate(Record("c", "done", metrics=both)) is None
    metrics = perplexities(4.0, 9.0, "selection/perplexity/text").metrics | perplexities(4.0, 4.0).metrics
    assert degenerate(Record("c", "done", metrics=metrics)) is not None


def test_what_was_not_measured_is_not_held_against_a_cell() -> None:
    alone = {"fluency/length": {"base": None, "edited": 1.0}}
    assert degenerate(Record("c", "done", metrics=made_metrics(alone))) is None
    good, bad = perplexities(4.0, 4.0), perplexities(4.0, 9.0)
    assert sound([good, bad, Record("e", "failed")]) == [good, Record("e", "failed")]


def test_bigrams_tell_a_loop_that_longer_n_grams_miss() -> None:
    metrics = {
        "fluency/repetition": {"base": 0.0, "edited": 0.1},
        "fluency/distinct_2": {"base": 0.95, "edited": 0.7},
    }
    expected = "share of distinct bigrams 0.70 against 0.95 of the base"
    assert degenerate(Record("c", "done", metrics=made_metrics(metrics))) == expected


def test_a_cell_that_broke_the_text_is_never_chosen_and_said_to_be_broken(
    surgery, sweeps, arguments, results, monkeypatch
) -> None:
    # A model with random weights can't get much worse; by the rule, the worse its text the better.
    monkeypatch.setattr("sweeps.results.broken_text.PERPLEXITY_RATIO", 1.005)
    rule = ("evaluation.choose.minimize=null", "+evaluation.choose.maximize=perplexity/story")
    ran = surgery("-m", *arguments, "alpha=0.1,1000", "top_k=100", *rule)
    assert ran.code == 0, ran.err
    broken = next(cell for cell, record in results().items() if record["keys"]["alpha"] == 1000)
    [mark] = [line for line in ran.out.splitlines() if line.startswith(f"× {broken} broke the text")]
    assert "perplexity/story" in mark
    # The other cell can't be told from the base, so there is none to choose: least of all the broken one.
    assert "no cell is chosen" in ran.out
    assert f"{broken} *" not in ran.out
    assert broken not in sweeps("best", "tiny-texts", "--maximize", "perplexity/story").out
    refused = sweeps("best", "tiny-texts", "--minimize", "perplexity/story", "--where", "perplexity/story/ratio>1.005")
    assert refused.code == 1
    assert "1 of 2 broke the text" in refused.err
