import json
import logging
import random
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from made_metrics import assert_named_beforehand

from evaluation.comparison.compare import compare
from evaluation.harness.task_folder import read_task_folder
from evaluation.lm_eval_tasks import LmEval
from evaluation.measurements.measurement import Measurement
from surgery.errors import InputError

from .conftest import CHOICE_TASK, QUESTIONS, make_model, make_tokenizer, with_little_memory
from .test_generation import plain_greedy


def named(measurements: list[Measurement]) -> dict[str, Measurement]:
    assert len({measurement.name for measurement in measurements}) == len(measurements)
    return {measurement.name: measurement for measurement in measurements}


def plain_choice(model: Any, tokenizer: Any, question: dict[str, Any]) -> int:
    """The likeliest answer: log-probabilities of its tokens after the question."""
    likelihoods = []
    for choice in question["choices"]:
        context = tokenizer(question["question"])["input_ids"]
        answer = tokenizer(choice, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            rows = model(torch.tensor([context + answer])).logits[0].log_softmax(-1)
        places = range(len(context), len(context) + len(answer))
        likelihoods.append(sum(float(rows[place - 1, (context + answer)[place]]) for place in places))
    return int(np.argmax(likelihoods))


def test_accuracy_is_that_of_the_likeliest_answers(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator = LmEval(str(task_folder))
    evaluator.check()
    found = named(evaluator.measure(model, tokenizer))
    assert_named_beforehand(evaluator, found)
    chosen = [plain_choice(model, tokenizer, question) for question in QUESTIONS]
    right = [float(choice == question["gold"]) for choice, question in zip(chosen, QUESTIONS, strict=True)]
    assert 0 < sum(right) < len(right)
    accuracy = found["lm_eval/choosing/acc"]
    assert accuracy.scores.tolist() == right
    assert accuracy.inputs == tuple(question["question"] for question in QUESTIONS)
    assert [said.strip() for said in accuracy.outputs or ()] == [
        question["choices"][choice] for choice, question in zip(chosen, QUESTIONS, strict=True)
    ]
    assert found["lm_eval/choosing_less/acc"].scores.tolist() == right[:6]
    assert found["lm_eval/choosing/acc_norm"].n == 12


def test_generative_tasks_are_judged_by_their_first_filter(model: Any, tokenizer: Any, task_folder: Path) -> None:
    found = named(LmEval(task_folder).measure(model, tokenizer))["lm_eval/saying/exact_match"]
    said = [plain_greedy(model, tokenizer, question["question"], 5).split("w7")[0].strip() for question in QUESTIONS]
    assert list(found.outputs or ()) == said
    assert found.notes["filter"] == "trimmed"
    assert found.scores.tolist() == [float(text == q["choices"][0]) for text, q in zip(said, QUESTIONS, strict=True)]


def test_the_average_is_over_tasks_of_their_primary_metric(model: Any, tokenizer: Any, task_folder: Path) -> None:
    found = named(LmEval(task_folder, half="selection").measure(model, tokenizer))
    primary = ("lm_eval/choosing/acc", "lm_eval/choosing_less/acc", "lm_eval/saying/exact_match")
    average = found["lm_eval/average"]
    assert average.summary == pytest.approx(np.mean([found[name].summary for name in primary]))
    assert average.n == 12 + 6 + 12
    assert {measurement.half for measurement in found.values()} == {"selection"}
    assert "lm_eval/average" not in named(LmEval(task_folder, average=False).measure(model, tokenizer))


def test_each_model_gets_its_own_results_on_the_same_samples(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator, other = LmEval(["choosing"], folder=task_folder), make_model(seed=5)
    first = named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"]
    second = named(evaluator.measure(other, tokenizer))["lm_eval/choosing/acc"]
    again = named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"]
    assert second.sample_ids == first.sample_ids
    assert second.scores.tolist() == [
        float(plain_choice(other, tokenizer, question) == question["gold"]) for question in QUESTIONS
    ]
    assert second.outputs != first.outputs
    assert again.scores.tolist() == first.scores.tolist()


def test_documents_are_paired_by_their_hash_and_others_refused(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator = LmEval(["choosing"], folder=task_folder)
    before = named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"]
    hashes = [sha256(json.dumps(question, indent=2, ensure_ascii=False).encode()).hexdigest() for question in QUESTIONS]
    assert [sample.split("-")[1] for sample in before.sample_ids] == [found[:8] for found in hashes]
    turned = before.only(before.sample_ids[::-1])
    assert compare(before, turned).ci95 == compare(before, before).ci95
    changed = [QUESTIONS[0] | {"gold": 1 - QUESTIONS[0]["gold"]}, *QUESTIONS[1:]]
    (task_folder / "choosing.jsonl").write_text("".join(json.dumps(question) + "\n" for question in changed))
    after = named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"]
    with pytest.raises(ValueError, match="different samples; 2 are of one alone"):
        compare(before, after)


def test_a_task_that_changes_on_disk_is_loaded_again(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator = LmEval(["choosing"], folder=task_folder)
    identity = evaluator.identity()
    assert named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"].n == 12
    (task_folder / "choosing.jsonl").write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS[:4]))
    assert named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"].n == 4
    assert evaluator.identity() != identity


def test_a_limit_and_examples_are_of_the_protocol(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator = LmEval("choosing", folder=task_folder, limit=5, num_fewshot=2)
    found = named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"]
    assert found.n == 5
    assert found.notes["num_fewshot"] == 2
    shown = found.inputs or ()
    assert all(text.endswith(question["question"]) for text, question in zip(shown, QUESTIONS, strict=False))
    assert all(len(text.split("\n\n")) == 3 for text in shown)
    assert named(evaluator.measure(model, tokenizer))["lm_eval/choosing/acc"].inputs == shown
    without = LmEval("choosing", folder=task_folder, limit=5)
    assert named(without.measure(model, tokenizer))["lm_eval/choosing/acc"].inputs == tuple(
        question["question"] for question in QUESTIONS[:5]
    )


def test_results_are_those_of_lm_evals_own_entry_point(model: Any, tokenizer: Any, task_folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    found = named(LmEval(task_folder, num_fewshot=3, limit=7).measure(model, tokenizer))
    expected = simple_evaluate(
        HFLM(pretrained=model, tokenizer=tokenizer, batch_size=16),
        tasks=["choosing", "choosing_less", "saying"],
        task_manager=TaskManager(include_path=str(task_folder), include_defaults=False),
        num_fewshot=3,
        limit=7,
        bootstrap_iters=0,
    )
    assert expected is not None
    for task, metric in (
        ("choosing", "acc"),
        ("choosing", "acc_norm"),
        ("choosing_less", "acc"),
        ("saying", "exact_match"),
    ):
        samples = [sample for sample in expected["samples"][task] if sample["filter"] in ("none", "trimmed")]
        measured = found[f"lm_eval/{task}/{metric}"]
        assert measured.inputs == tuple(sample["arguments"][0][0] for sample in samples)
        assert measured.scores.tolist() == [float(sample[metric]) for sample in samples]


def test_a_task_can_have_another_name_in_the_results(model: Any, tokenizer: Any, task_folder: Path) -> None:
    evaluator = LmEval({"facts": "choosing_less"}, folder=task_folder, half="selection")
    evaluator.check()
    found = named(evaluator.measure(model, tokenizer))
    assert set(found) == {"lm_eval/facts/acc", "lm_eval/facts/acc_norm", "lm_eval/average"}
    assert found["lm_eval/average"].strata == ("facts",) * 6


def test_groups_and_tags_are_their_tasks(model: Any, tokenizer: Any, task_folder: Path) -> None:
    (task_folder / "group.yaml").write_text("group: both\ntask:\n  - choosing\n  - choosing_less\n")
    tagged = CHOICE_TASK.format(name="tagged", data=task_folder / "choosing.jsonl") + "tag: some\n"
    (task_folder / "tagged.yaml").write_text(tagged)
    evaluator = LmEval(["both", "some"], folder=task_folder)
    evaluator.check()
    assert {name for name in named(evaluator.measure(model, tokenizer)) if name.endswith("/acc")} == {
        "lm_eval/choosing/acc",
        "lm_eval/choosing_less/acc",
        "lm_eval/tagged/acc",
    }


def test_nothing_is_printed_and_nothing_is_disturbed(
    model: Any, task_folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(9), np.random.seed(9), random.seed(9)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    # lm-eval would give a tokenizer the pad token it lacks.
    bare = make_tokenizer(pad=False)
    level, sides = logging.getLogger("lm_eval").level, (bare.padding_side, bare.truncation_side)
    model.train()
    LmEval(task_folder).measure(model, bare)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    assert logging.getLogger("lm_eval").level == level
    assert (bare.padding_side, bare.truncation_side) == sides
    assert bare.pad_token is None
    assert model.training
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_code_in_a_folder_is_refused_unless_trusted_and_never_run_by_reading(
    model: Any, tokenizer: Any, task_folder: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    (task_folder / "helper.py").write_text(
        f"open({str(mark)!r}, 'w').close()\ndef text(doc):\n    return doc['question']\n"
    )
    plain = CHOICE_TASK.format(name="coded", data=task_folder / "choosing.jsonl")
    # In a file that is only included, and whose name does not end in .yaml.
    (task_folder / "_common").write_text(plain.replace('"{{question}}"', "!function helper.text"))
    (task_folder / "coded.yaml").write_text("include: _common\n")
    evaluator = LmEval(task_folder)
    for refused in (evaluator.check, evaluator.identity, lambda: evaluator.measure(model, tokenizer)):
        with pytest.raises(InputError, match="set trust_task_code=true"):
            refused()
    assert not mark.exists()
    trusted = replace(evaluator, trust_task_code=True)
    trusted.check()
    assert not mark.exists()
    found = named(trusted.measure(model, tokenizer))
    assert mark.exists()
    assert found["lm_eval/coded/acc"].scores.tolist() == found["lm_eval/choosing/acc"].scores.tolist()


def test_a_remark_about_functions_is_no_code(task_folder: Path) -> None:
    with (task_folder / "choosing.yaml").open("a") as file:
        file.write("# no !function here\nmetadata:\n  note: '!function in a text'\n")
    assert read_task_folder(task_folder).runs_code is None


def test_the_batch_size_is_the_budget_by_the_longest_request(model: Any, tokenizer: Any, task_folder: Path) -> None:
    """On a CPU 4,096 tokens of likelihoods and 8,192 of generation."""
    found = named(LmEval(task_folder).measure(model, tokenizer))
    # A question has the BOS, two words and a word of choice.
    choosing = found["lm_eval/choosing/acc"].notes
    assert (choosing["work"], choosing["tokens_per_batch"], choosing["batch_size"]) == ("loglikelihood", 4096, 1024)
    # The BOS, two words, and five new tokens.
    saying = found["lm_eval/saying/exact_match"].notes
    assert (saying["work"], saying["tokens_per_batch"], saying["batch_size"]) == ("generation", 8192, 1024)
    asked = named(LmEval(task_folder, batch_size=3).measure(model, tokenizer))
    assert asked["lm_eval/choosing/acc"].notes["batch_size"] == 3
    assert asked["lm_eval/saying/exact_match"].notes["batch_size"] == 3


@pytest.mark.parametrize("batch_size", ["auto", 16])
def test_memory_that_runs_out_halves_the_batch_and_later_runs_begin_there(
    model: Any, tokenizer: Any, task_folder: Path, batch_size: Any
) -> None:
    evaluator = LmEval(task_folder, batch_size=batch_size)
    expected = named(evaluator.measure(model, tokenizer))
    small, asked = with_little_memory(model, 9)
    for halvings in (True, False):
        asked.clear()
        found = named(evaluator.measure(small, tokenizer))
        assert found.keys() == expected.keys()
        for name, measurement in found.items():
            assert measurement.scores.tolist() == expected[name].scores.tolist()
            assert measurement.outputs == expected[name].outputs
        # Requests of 3 tokens for likelihoods, 3 at once at most; of 3 and 5 new ones for generation.
        for name in ("lm_eval/choosing/acc", "lm_eval/saying/exact_match"):
            assert (found[name].notes["halvings"] > 0) is halvings
            assert 1 <= found[name].notes["batch_size"] <= 3
        assert (max(asked) > 9) is halvings


def test_a_request_that_does_not_fit_alone_raises(model: Any, tokenizer: Any, task_folder: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        LmEval(task_folder).measure(with_little_memory(model, 2)[0], tokenizer)


def test_folders_and_names_that_can_not_be_used_say_why_in_one_line(task_folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong, says in (
        (LmEval(str(tmp_path / "absent")), "is not there"),
        (LmEval(empty), "holds no task"),
        (LmEval(["chosing"], folder=task_folder), "nearest name is 'choosing'"),
        (LmEval([]), "no tasks to run"),
        (LmEval(task_folder, limit=0), "limit is 0"),
        (LmEval(task_folder, batch_size=0), "batch_size is 0"),
        (LmEval(task_folder, batch_size="max"), "batch_size is 'max'; it has to be a number or auto"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=says) as raised:
            wrong.check()
        assert "\n" not in str(raised.value)
    for content, says in (
        ("task: [a\n", "not YAML in line"),
        ("- a\n- b\n", "no 'key: value' lines"),
        ("include: absent.yaml\n", "absent.yaml' is not there"),
        ("include: wrong.yaml\n", "includes itself"),
        (CHOICE_TASK.format(name="choosing", data=task_folder / "choosing.jsonl"), "give one another name"),
        (CHOICE_TASK.format(name="lost", data="absent.jsonl"), "the data file 'absent.jsonl' of the task 'lost'"),
    ):
        (task_folder / "wrong.yaml").write_text(content)
        with pytest.raises(InputError, match=says) as raised:
            LmEval(task_folder).check()
        assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_registered_tasks_are_known_by_name() -> None:
    LmEval("arc_easy, gsm8k").check()
    with pytest.raises(InputError, match="nearest name is 'hellaswag'"):
        LmEval(["helaswag"]).check()


def test_a_metric_that_is_no_average_is_told(model: Any, tokenizer: Any, task_folder: Path) -> None:
    text = (task_folder / "choosing.yaml").read_text().split("metric_list")[0]
    text += "metric_list:\n  - metric: mcc\n    aggregation: matthews_corrcoef\n    higher_is_better: true\n"
    (task_folder / "choosing.yaml").write_text(text)
    with pytest.raises(InputError, match=r"no metric that is an average over samples \(it has mcc\)"):
        LmEval(["choosing"], folder=task_folder).measure(model, tokenizer)


def test_data_that_can_not_be_loaded_are_an_input_error(model: Any, tokenizer: Any, task_folder: Path) -> None:
    (task_folder / "choosing.jsonl").write_text("{broken\n")
    with pytest.raises(InputError, match="'choosing' or its data can't be loaded") as raised:
        LmEval(["choosing"], folder=task_folder).measure(model, tokenizer)
    assert "\n" not in str(raised.value)


def test_the_identity_is_the_same_wherever_the_files_lie_and_another_when_an_included_one_changes(
    task_folder: Path, tmp_path: Path
) -> None:
    def laid(place: Path, questions: str = "", common: str = "", code: str = "") -> Path:
        """Tasks in `place` that name files of its parent: their data, what they include and the code in that."""
        place.mkdir(parents=True)
        data, base = place.parent / "q.jsonl", place.parent / "base.yaml"
        data.write_text((task_folder / "choosing.jsonl").read_text() + questions)
        text = CHOICE_TASK.format(name="base", data="unused").replace(
            "doc_to_target: gold", "doc_to_target: !function f.gold"
        )
        base.write_text(text + common)
        (place.parent / "f.py").write_text(f"def gold(doc):\n    return doc['gold']{code}\n")
        task = {"include": str(base), "task": "choosing", "dataset_kwargs": {"data_files": {"test": str(data)}}}
        (place / "choosing.yaml").write_text(yaml.safe_dump(task))
        return place

    def known(place: Path) -> dict[str, Any]:
        return LmEval(place, trust_task_code=True).identity()

    here, there = laid(tmp_path / "a" / "tasks"), laid(tmp_path / "b" / "c" / "tasks")
    assert (here / "choosing.yaml").read_text() != (there / "choosing.yaml").read_text()
    assert known(here) == known(there)
    for number, changed in enumerate(({"questions": "{}\n"}, {"common": "num_fewshot: 0\n"}, {"code": " + 0"})):
        assert known(laid(tmp_path / f"changed{number}" / "tasks", **changed)) != known(here), changed


def test_the_identity_is_of_the_content(task_folder: Path, tmp_path: Path) -> None:
    evaluator = LmEval(["choosing"], folder=task_folder)
    identity = evaluator.identity()
    assert json.loads(json.dumps(identity)) == identity
    for changed in ({"limit": 3}, {"num_fewshot": 1}, {"tasks": ["saying"]}, {"batch_size": 2}, {"half": "selection"}):
        assert replace(evaluator, **changed).identity() != identity  # type: ignore[arg-type]


def test_what_is_written_is_cut_where_it_is_said(model: Any, tokenizer: Any, task_folder: Path) -> None:
    for count in (2, 4):
        evaluator = LmEval(["saying"], folder=task_folder, max_new_tokens=count)
        written = named(evaluator.measure(model, tokenizer))["lm_eval/saying/exact_match"].outputs or ()
        # A token of this tokenizer is a word; the task itself says 5.
        assert max(len(text.split()) for text in written) == count
    plain, cut = (LmEval(["saying"], folder=task_folder, max_new_tokens=count).identity() for count in (None, 2))
    assert plain | {"max_new_tokens": 2} == cut
    with pytest.raises(InputError, match="'choosing' has the model write nothing; leave it out"):
        LmEval(["choosing"], folder=task_folder, max_new_tokens=2).prepare()
    with pytest.raises(InputError, match="max_new_tokens is 0"):
        LmEval(["saying"], folder=task_folder, max_new_tokens=0).check()


def test_mmlu_is_right_where_the_line_that_is_written_is_the_letter() -> None:
    import lm_eval
    import yaml
    from datasets import Dataset
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import ConfigurableTask

    class WithoutData(ConfigurableTask):  # type: ignore[misc]
        def download(self, dataset_kwargs: Any = None, **_: Any) -> None:
            questions = Dataset.from_list([{"question": "?", "choices": ["a", "b", "c", "d"], "answer": 1}])
            self.dataset = {"test": questions, "dev": questions}

    folder = Path(str(lm_eval.__file__)).parent / "tasks" / "mmlu" / "generative"
    template = yaml.safe_load((folder / "_default_template_yaml").read_text())
    task = WithoutData(config=template | {"task": "mmlu"})
    written = {" B": 1, "b.": 1, "(B)": 1, " B\n\nQuestion:": 1, "B. b": 0, "The answer is B": 0, " C": 0, "": 0}
    doc = task.dataset["test"][0]
    instances = [Instance("generate_until", doc, ("?", {}), number) for number in range(len(written))]
    for instance, text in zip(instances, written, strict=True):
        instance.resps = [text]
    [kept] = task._filters
    kept.apply(instances)
    for instance, (text, right) in zip(instances, written.items(), strict=True):
        [answer] = instance.filtered_resps.values()
        assert task.process_results(doc, [answer])["exact_match"] == right, text
