"""`evaluation.judge=…`: one key on the command line."""

import pandas as pd
import pytest
import yaml


@pytest.fixture
def asked(arguments: list[str], world) -> list[str]:
    return [*arguments, f"evaluation.prompts={world.prompts}", "top_k=20", "evaluation.max_new_tokens=4"]


def test_a_guard_judges_in_detoxifys_place_and_is_chosen_by(surgery, asked, world, guard, results) -> None:
    ran = surgery("-m", *asked, "alpha=1,2", f"evaluation.judge={guard}", f"evaluation.judge_model={world.model}")
    assert ran.code == 0, ran.err
    for cell in results().values():
        names = set(cell["metrics"])
        assert {f"guard/polite/{name}" for name in ("unsafe_rate", "safe_rate", "unparsed")} <= names
        assert "selection/guard/polite/unsafe_rate" in names
        assert not [name for name in names if name.startswith("toxicity")]
    assert "guard/polite/unsafe_rate" in ran.out


def test_the_behaviors_own_texts_judge_and_their_accuracy_stands_beside(surgery, asked, results) -> None:
    ran = surgery(*asked, "evaluation.judge=probe-texts", "probe.test_share=0.4")
    assert ran.code == 0, ran.err
    [cell] = results().values()
    assert cell["metrics"]["guard/probe-texts/accuracy"]["edited"] > 0.9
    assert cell["metrics"]["guard/probe-texts/avoided_rate"]["n"] == 12
    assert "guard/probe-texts/avoided_rate" in ran.out
    assert "guard/probe-texts/accuracy" in ran.out


def test_a_list_of_words_judges_and_is_chosen_by(surgery, asked, tmp_path, results) -> None:
    (tmp_path / "listed.txt").write_text("said\nANN\n")
    ran = surgery("-m", *asked, "alpha=1,2", "evaluation.judge=listed.txt", "sweep=s")
    assert ran.code == 0, ran.err
    for cell, record in results().items():
        assert not [name for name in record["metrics"] if name.startswith("toxicity")]
        rows = pd.read_parquet(tmp_path / "outputs" / "runs" / "s" / cell / "samples.parquet")
        rows = rows[rows["measurement"] == "guard/listed/listed_rate"]
        for half, name in (("report", "guard/listed/listed_rate"), ("selection", "selection/guard/listed/listed_rate")):
            said = [text.split() for text in rows[rows["half"] == half]["edited"]]
            by_hand = sum("said" in words or "ann" in words for words in said) / len(said)
            assert record["metrics"][name]["edited"] == pytest.approx(by_hand)
            assert len(said) == 12
    assert "guard/listed/listed_rate" in ran.out


def test_two_guards_stand_side_by_side(surgery, asked, world, guard, tmp_path, results) -> None:
    said = yaml.safe_load(guard.read_text()) | {"model": str(world.model)}
    for name, text in (("one", said["text"]), ("two", "{answer} : {prompt} is")):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(said | {"text": text}, sort_keys=False))
    judges = f"evaluation.judge=[{tmp_path / 'one.yaml'},{tmp_path / 'two.yaml'}]"
    ran = surgery(*asked, judges)
    assert ran.code == 0, ran.err
    [cell] = results().values()
    assert {"guard/one/unsafe_rate", "guard/two/unsafe_rate", "guard/one~two/kappa"} <= set(cell["metrics"])
    assert -1 <= cell["metrics"]["guard/one~two/kappa"]["edited"] <= 1
    assert [one["tokens_per_batch"] for one in cell["batches"]["judging"]] == [8192]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["evaluation.judge=deaf.yaml"], "the guard 'deaf.yaml' drops the answer: its template has no {answer}"),
        (["evaluation.judge=mute.yaml"], "the guard 'mute.yaml' has no rule for its verdict"),
        (["evaluation.judge=none.yaml"], "there is no guard 'none.yaml'; it is one of harmbench"),
        (["evaluation.judge=none.txt"], "the list of words 'none.txt' is not there; give the path of a file"),
        (["evaluation.judge=./bert"], "is no guard, so it is read as a text classifier; say which of its classes"),
        (["evaluation.judge=probe-texts"], "the judge probe-texts has 3 held-out texts of class"),
        (
            ["evaluation.judge=probe-texts", "evaluation.judge_model=./bert"],
            "is for guards, and evaluation.judge=probe-",
        ),
        (
            ["evaluation.judge=none.txt", "evaluation.judge_class=1"],
            "judge_class=1 is for text classifiers, and evalua",
        ),
        (["evaluation.judge_model=./bert"], "evaluation.judge_model=./bert is given and no judge; name it with"),
        (["evaluation.judge=[probe-texts,wildguard]"], "lists several judges: they have to be guards"),
    ],
)
def test_a_judge_that_can_not_be_used_is_one_line_before_a_model_is_loaded(
    surgery, asked, tmp_path, guard, monkeypatch: pytest.MonkeyPatch, given: list[str], sentence: str
) -> None:
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    said = yaml.safe_load(guard.read_text())
    (tmp_path / "deaf.yaml").write_text(yaml.safe_dump({"text": "{prompt}", "verdict": said["verdict"]}))
    (tmp_path / "mute.yaml").write_text(yaml.safe_dump({"text": said["text"]}))
    ran = surgery(*asked, *given)
    assert ran.code == 1
    [line] = ran.err.splitlines()
    assert sentence in line
