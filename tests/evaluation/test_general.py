"""`evaluation=general`: lm-eval's own tasks, the rows that are asked for, their versions, data that can't be had."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants
from made_metrics import assert_named_beforehand

from evaluation.benchmarks import Benchmarks
from evaluation.harness import lm_eval_run
from evaluation.lm_eval_tasks import LmEval
from surgery.errors import InputError
from surgery.files import hub

from .conftest import CHOICE_TASK


@pytest.fixture
def registered(task_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few tasks in place of those that come with lm-eval, which take seconds to scan."""
    for name, version in (("choosing", 2.0), ("choosing_less", 3.1)):
        with (task_folder / f"{name}.yaml").open("a") as file:
            file.write(f"tag: both\nmetadata:\n  version: {version}\n")
    (task_folder / "group.yaml").write_text("group: some\ntask: [choosing]\nmetadata:\n  version: 1\n")
    contents = tuple(path.name for path in sorted(task_folder.iterdir()))
    own = lm_eval_run._task_manager(task_folder, contents)
    monkeypatch.setattr(lm_eval_run, "_task_manager", lambda *_: own)
    lm_eval_run.registered_names.cache_clear()
    yield task_folder  # type: ignore[misc]
    lm_eval_run.registered_names.cache_clear()


def test_the_version_of_each_task_is_in_the_protocol_where_that_is_asked_for(registered: Path) -> None:
    assert lm_eval_run.task_versions(["some", "saying"]) == {"some": "1", "choosing": "2.0"}
    assert lm_eval_run.task_versions(["both"]) == {"choosing": "2.0", "choosing_less": "3.1"}
    with_versions = LmEval(["both"], versions=True)
    assert with_versions.identity() == LmEval(["both"]).identity() | {
        "versions": {"choosing": "2.0", "choosing_less": "3.1"}
    }
    with_versions.check()


def test_only_the_rows_that_are_asked_for_are_run(model: Any, tokenizer: Any, task_folder: Path) -> None:
    rows = {name: LmEval([name], folder=task_folder) for name in ("choosing", "choosing_less", "saying")}
    some = Benchmarks(rows, pooled=["choosing", "saying"], only="saying, choosing_less")
    some.check()
    measured = {one.name: one for one in some.measure(model, tokenizer)}
    assert_named_beforehand(some, measured)
    assert "lm_eval/choosing" not in measured
    told = [measured[f"lm_eval/{name}"].summary for name in ("choosing_less", "saying")]
    assert measured["lm_eval/average"].summary == pytest.approx(sum(told) / 2)
    others = {name: rows[name] for name in ("choosing_less", "saying")}
    assert some.identity() == Benchmarks(others, pooled=["saying"]).identity()
    with pytest.raises(InputError, match="'saing' is no row of these benchmarks; there are choosing, choosing_less"):
        Benchmarks(rows, only=["saing"]).check()
    with pytest.raises(InputError, match="no row of the benchmarks is to be run"):
        Benchmarks(rows, only=[]).check()


def written(folder: Path, name: str, **lines: str) -> LmEval:
    folder.mkdir(exist_ok=True)
    text = CHOICE_TASK.format(name=name, data="unused").replace("dataset_path: json\n", "dataset_path: nobody/none\n")
    text = text.replace("dataset_kwargs:\n  data_files:\n    test: unused\n", "")
    for key, value in lines.items():
        text = "\n".join(f"{key}: {value}" if line.startswith(f"{key}:") else line for line in text.split("\n"))
    (folder / f"{name}.yaml").write_text(text)
    return LmEval([name], folder=folder, trust_task_code=True)


def test_questions_that_can_not_be_had_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        written(tmp_path / "tasks", "away").prepare()
    assert str(told.value).startswith(
        "the questions of lm-eval's task 'away' are not in the cache, and the hub does not"
    )
    assert str(told.value).endswith("or give a folder of tasks with local files")
    assert "\n" not in str(told.value)


def test_a_package_that_a_task_needs_is_named(tmp_path: Path) -> None:
    evaluator = written(tmp_path / "tasks", "needy", doc_to_text="!function helper.text")
    (tmp_path / "tasks" / "helper.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(InputError, match=r"'needy' needs the package 'not_installed_anywhere'.*pip install"):
        evaluator.prepare()


def test_ifeval_without_its_sentence_splitter_is_refused_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        if there != name:
            raise LookupError(name)

    there = ""
    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace(data=SimpleNamespace(find=find)))
    with pytest.raises(InputError, match="'ifeval' splits sentences by nltk's punkt_tab"):
        lm_eval_run._require_sentence_splitter(["gsm8k", "ifeval"])
    lm_eval_run._require_sentence_splitter(["gsm8k"])
    there = "tokenizers/punkt_tab"
    lm_eval_run._require_sentence_splitter(["ifeval"])


@pytest.mark.parametrize(("status", "answers"), [(200, True), (401, True), (503, False), (None, False)])
def test_a_silent_hub_is_asked_once_and_then_the_cache(
    monkeypatch: pytest.MonkeyPatch, status: int | None, answers: bool
) -> None:
    asked = []

    def head(address: str, timeout: float) -> SimpleNamespace:
        asked.append(address)
        if status is None:
            raise OSError("no route")
        return SimpleNamespace(status_code=status)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.utils.get_session", lambda: SimpleNamespace(head=head))
    with hub.cache_where_the_hub_is_silent() as told:
        assert told is answers
        assert answers is not constants.HF_HUB_OFFLINE
    assert asked == [constants.ENDPOINT]
    assert constants.HF_HUB_OFFLINE is False
