"""What a cell tells of its batches, and what the next cell and the next command begin with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaModel

from .conftest import KIND, NAMES, RUDE

Results = Callable[[], dict[str, dict[str, Any]]]
TASK = """
task: persons
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "person"
generation_kwargs:
  until: ["ann"]
  max_gen_toks: 4
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


@pytest.fixture
def with_task(arguments: list[str], tmp_path: Path) -> list[str]:
    """The experiment with a task that generates, so that there is every kind of work."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    questions = [f"{name} is a {word}" for name in NAMES for word in (*KIND, *RUDE)]
    (folder / "persons.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in questions))
    (folder / "persons.yaml").write_text(TASK.format(data=folder / "persons.jsonl"))
    return [*arguments, f"evaluation.tasks={folder}", "top_k=10", "alpha_unit=unit"]


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Has every LLaMA refuse batches of more tokens, as a full GPU does; gives the tokens of each that it is asked."""

    def refuse_above(most: int) -> list[int]:
        forward: Callable[..., Any] = LlamaModel.forward
        asked: list[int] = []

        def limited(self: LlamaModel, input_ids: torch.Tensor, **others: Any) -> Any:
            asked.append(input_ids.numel())
            if input_ids.numel() > most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(self, input_ids, **others)

        monkeypatch.setattr(LlamaModel, "forward", limited)
        return asked

    return refuse_above


def held(tokens: int, halvings: int = 0) -> dict[str, int]:
    return {"tokens_per_batch": tokens, "halvings": halvings}


def test_a_record_tells_the_batches_of_each_kind_of_work(surgery, with_task: list[str], results: Results) -> None:
    assert surgery(*with_task).code == 0
    [record] = results().values()
    # The probe's loss is taken in batches of 8,192 tokens, what it is trained on on a CPU in 1,024.
    assert record["batches"] == {
        "hidden_states": [held(1024), held(8192)],
        "loglikelihood": [held(4096)],
        "generation": [held(8192)],
    }


def test_what_the_config_asks_for_is_what_is_held(surgery, with_task: list[str], results: Results) -> None:
    assert surgery(*with_task, "evaluation.tokens_per_batch=100", "evaluation.batch_size=2").code == 0
    [record] = results().values()
    assert record["batches"]["loglikelihood"] == [held(100)]
    # Two questions of four tokens and four new ones.
    assert record["batches"]["generation"] == [held(16)]


@pytest.mark.slow
def test_memory_that_runs_out_is_told_once_and_changes_no_result(
    surgery, with_task: list[str], results: Results, little_memory
) -> None:
    alone = "output_dir=undisturbed"
    assert surgery("-m", *with_task, "alpha=-2,2", alone).code == 0
    expected = {
        path.parent.name: json.loads(path.read_text())["metrics"]
        for path in Path("undisturbed").glob("runs/*/*/result.json")
    }
    asked = little_memory(70)
    ran = surgery("-m", *with_task, "alpha=-2,2")
    assert ran.code == 0, ran.err
    found = results()
    assert found.keys() == expected.keys()
    for cell, record in found.items():
        for name, metric in record["metrics"].items():
            assert metric["edited"] == pytest.approx(expected[cell][name]["edited"], rel=1e-5), name
    # 80 texts of 9 tokens, 720, are halved to 56, 28, 14 and 7; the probe's loss begins there.
    # 32 questions of four tokens, 128, don't fit; with their new tokens they are 256 of the 8,192, so 128 is next.
    # 320 tokens of text are 5 windows of 64; 256 and 128 hold 4 and 2 of them.
    for record in found.values():
        assert record["batches"] == {
            "hidden_states": [held(64, 4), held(64)],
            "loglikelihood": [held(64, 3), held(64)],
            "generation": [held(128, 1), held(128)],
        }
    assert ran.err.count("memory ran out: from now on a batch of generation holds 128 tokens") == 1

    # Another command, so another process: its model begins where that one ended.
    assert any(tokens > 70 for tokens in asked)
    asked.clear()
    again = surgery(*with_task, "alpha=3", "probe.lr=0.01", "behavior.max_length=50")
    assert again.code == 0, again.err
    assert max(asked) <= 70
    assert "memory ran out" not in again.err
    [last] = [record for cell, record in results().items() if cell not in expected]
    assert last["batches"]["generation"][-1] == held(128)
