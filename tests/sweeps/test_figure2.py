"""Figure 2: from a real sweep against counts made here, and what a sweep must hold for it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from evaluation.measurements.measurement import Measurement
from surgery import InputError
from sweeps.charts.chart import Grid
from sweeps.charts.pictures import save_charts
from sweeps.paper.figure2_charts import cosine_charts, shift_charts
from sweeps.paper.neuron_shift import NeuronShift, shifts_in_words
from sweeps.paper.probe_cosines import ProbeCosines
from sweeps.paper.prompt_sets import MOST_PROMPTS, PromptSet, behavior_prompts, evenly, task_prompts
from sweeps.records.record import CONFIG, SAMPLES, Record
from sweeps.records.samples import write_samples

KINDS: tuple[Any, ...] = ("behavior", "task")
HOSTILE_PROMPT = "[red]ann[/red] \x1b[31m said"


@pytest.fixture
def measured(world: Any, arguments: list[str], toy_judge: list[str], tmp_path: Path) -> list[str]:
    """A whole experiment with prompts, a scorer and tasks."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, word in (("mine", "and"), ("other", "to")):
        documents = [{"question": f"{n} is {word}", "choices": ["kind", "rude"], "gold": 0} for n in ("ann", "bob a")]
        (tasks / f"{name}.jsonl").write_text("\n".join(map(json.dumps, documents)))
        (tasks / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n"
            f"dataset_kwargs: {{data_files: {{test: {tasks / f'{name}.jsonl'}}}}}\n"
            "doc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\ndoc_to_target: '{{gold}}'\n"
            "metric_list: [{metric: acc}]\n"
        )
    return [
        *(argument for argument in arguments if not argument.startswith("evaluation.text")),
        "top_k=40",
        "sweep=two",
        f"evaluation.prompts={world.prompts}",
        *toy_judge,
        f"evaluation.tasks={tasks}",
        "evaluation.max_new_tokens=3",
    ]


def active(model: Any, tokenizer: Any, prompts: list[str], rows: dict[int, torch.Tensor]) -> float:
    """The mean over prompts of each one's mean number of active neurons, from what the MLPs are given."""
    means = []
    for prompt in prompts:
        given: list[torch.Tensor] = []
        handles = [
            block.mlp.register_forward_pre_hook(lambda module, args, given=given: given.append(args[0][0]))
            for block in model.model.layers
        ]
        with torch.no_grad():
            model(**tokenizer(prompt, return_tensors="pt"))
        for handle in handles:
            handle.remove()
        counts = torch.stack(
            [
                (given[layer] @ model.model.layers[layer].mlp.gate_proj.weight[index].T > 0).sum(1)
                for layer, index in rows.items()
            ]
        ).sum(0)
        means.append(counts.double().mean().item())
    return float(np.mean(means))


@pytest.mark.slow
def test_figure_2_of_two_behaviors(surgery: Any, sweeps: Any, measured: list[str], world: Any, tmp_path: Path) -> None:
    for more in (["behavior.name=rude", "alpha=2"], ["behavior.name=kind", "behavior.avoid=[0]", "alpha=3"]):
        ran = surgery(*measured, *more)
        assert ran.code == 0, ran.err
    shown = sweeps("paper", "figure2", "two")
    assert shown.code == 0, shown.err
    folder = tmp_path / "outputs" / "runs" / "two"
    names = ("figure2-cosines", "figure2-neurons-rude", "figure2-neurons-kind")
    for name in names:
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / "figures" / f"{name}.svg").read_text().startswith("<?xml")
    assert "figure 2: 100%" in shown.err

    directions = {}
    for path in folder.glob("*/result.json"):
        config = (path.parent / CONFIG).read_text()
        behavior = "kind" if "name: kind" in config else "rude"
        saved = load_file(path.parent / "edit.safetensors")
        directions[behavior] = saved["direction"]
        rows = {int(name[5:]) - 1: value.long() for name, value in saved.items() if name.startswith("rows.")}
        model = AutoModelForCausalLM.from_pretrained(world.model)
        tokenizer = AutoTokenizer.from_pretrained(world.model)
        samples = pd.read_parquet(path.parent / SAMPLES)
        report = samples[samples["half"] == "report"]
        for metric, name in (("toxicity/toxic_rate", "toxicity"), ("lm_eval/mine/acc", "mine")):
            prompts = list(report[report["measurement"] == metric]["prompt"])
            before = active(model, tokenizer, prompts, rows)
            with torch.no_grad():
                for layer, index in rows.items():
                    model.model.layers[layer].mlp.gate_proj.weight[index] += (
                        2.0 if behavior == "rude" else 3.0
                    ) * saved["direction"]
            after = active(model, tokenizer, prompts, rows)
            model = AutoModelForCausalLM.from_pretrained(world.model)
            part = shown.out.split(f"edit of {behavior}, more")[1].split("probe")[0]
            line = next(line for line in part.splitlines() if line.startswith(f"    {name} ("))
            assert f"({len(prompts)} prompts): {before:.2f} → {after:.2f} active neurons a token" in line
    cosine = torch.nn.functional.cosine_similarity(directions["rude"], directions["kind"], dim=0)
    told = re.search(r"probes of (?:rude and kind|kind and rude): cosine (\S+)", shown.out)
    assert told is not None and float(told[1]) == pytest.approx(float(cosine), abs=5e-4)
    assert len(re.findall(r"^(?:holds|does not hold|can't tell): with the edit of ", shown.out, re.M)) == 4

    # A second cell of a behavior: the sweep's rule names one, or there is no one to draw.
    assert surgery(*measured, "behavior.name=rude", "alpha=-2").code == 0
    ran = sweeps("paper", "figure2", "two")
    assert ran.code == 1 and "the sweep's rule chooses none" in ran.err
    for path in folder.glob("*/result.json"):
        record = Record.load(path.parent)
        rate = record.metrics["selection/toxicity/toxic_rate"]
        rate = replace(rate, base=1.0, edited=0.5, delta=-0.5, low=-0.6, high=-0.4, p=0.001)
        if record.keys["alpha"] == 2.0:
            rate = replace(rate, edited=0.1, delta=-0.9, low=-1.0, high=-0.8)
        replace(record, metrics={**record.metrics, rate.key: rate}).save(path.parent)
    assert sweeps("paper", "figure2", "two").code == 0

    # What can't be drawn is told before a model is loaded.
    path = next(path for path in folder.glob(f"*/{CONFIG}") if "name: kind" in path.read_text())
    path.write_text(path.read_text().replace(f"path: {world.model}", "path: elsewhere"))
    assert "the cells of this sweep are of several models" in sweeps("paper", "figure2", "two").err
    (path.parent / SAMPLES).write_bytes(b"no parquet")
    ran = sweeps("paper", "figure2", "two")
    assert ran.code == 1 and "can't be read as samples" in ran.err


def test_the_experiment_runs_the_behaviors_under_one_name() -> None:
    from hydra import compose, initialize_config_module

    with initialize_config_module("conf", version_base=None):
        for more in ([], ["model=llama2-7b", "behavior=negative"]):
            config = compose("config", ["experiment=paper/figure2", *more], return_hydra_config=True)
            assert config.sweep == f"{config.model.name}-figure2"
            behaviors = config.hydra.sweeper.params.behavior.split(",")
            assert behaviors == ["toyworld_chat_toxicity", "toyworld_jailbreak_resist", "toyworld_positive"]


def test_cells_that_measured_nothing_are_refused_in_a_sentence(surgery: Any, sweeps: Any, arguments: list[str]) -> None:
    plain = [argument for argument in arguments if not argument.startswith("evaluation.text")]
    assert surgery(*plain, "evaluation=none", "top_k=12", "sweep=none").code == 0
    ran = sweeps("paper", "figure2", "none")
    assert ran.code == 1
    assert "measured no behavior (toxicity/toxic_rate," in ran.err
    assert "Traceback" not in ran.err and len(ran.err.strip().splitlines()) == 1
    assert surgery(*plain, "evaluation=none", "top_k=12", "region.component=up_proj", "sweep=up").code == 0
    assert "no cell of this sweep is of method=surgery with region.component=gate_proj" in (
        sweeps("paper", "figure2", "up").err
    )
    assert surgery(*plain, "evaluation=none", "method=directional_ablation", "sweep=other").code == 0
    assert "no cell of this sweep is of method=surgery" in sweeps("paper", "figure2", "other").err


def cell(folder: Path, names: dict[str, list[str]]) -> Record:
    """A cell's folder with prompts by measurement."""
    found = [
        Measurement(name, "report", tuple(f"{i}" for i in range(len(prompts))), np.zeros(len(prompts)), inputs=prompts)  # type: ignore[arg-type]
        for name, prompts in names.items()
    ]
    write_samples(folder / SAMPLES, found, found)
    return Record("c", "done")


def test_prompts_are_distinct_and_evenly_spaced(tmp_path: Path) -> None:
    prompts = [f"p{index // 2}" for index in range(500)]
    record = cell(tmp_path, {"toxicity/toxic_rate": prompts, "lm_eval/gsm8k/em": [HOSTILE_PROMPT], "probe/loss": ["x"]})
    own = behavior_prompts(record, tmp_path, {})
    assert len(own.prompts) == len(set(own.prompts)) == MOST_PROMPTS
    assert own.prompts[0] == "p0" and own.prompts[-1] == "p247"
    [task] = task_prompts(record, tmp_path)
    assert (task.name, task.prompts) == ("gsm8k", (HOSTILE_PROMPT,))
    assert evenly(["a", "b"], 3) == ["a", "b"]


def test_the_behaviors_prompts_are_of_the_metric_it_was_chosen_by(tmp_path: Path) -> None:
    record = cell(tmp_path, {"toxicity/toxic_rate": ["a"], "jailbreak/refusal_rate": ["b"]})
    chosen = {"evaluation": {"choose": {"maximize": "jailbreak/refusal_rate"}}}
    assert behavior_prompts(record, tmp_path, chosen).name == "jailbreak"
    # A probe's loss has texts, but they are no prompts.
    assert behavior_prompts(record, tmp_path, {"evaluation": {"choose": {"minimize": "probe/loss_other"}}}).prompts == (
        "a",
    )
    with pytest.raises(InputError, match="measured no task"):
        task_prompts(record, tmp_path)


def test_tasks_of_a_protocols_row_are_one_set_and_many_tasks_are_too(tmp_path: Path) -> None:
    ids, scores = ("bbh_a/0", "bbh_b/0"), np.zeros(2)
    found = [
        Measurement("lm_eval/bbh", "report", ids, scores, "mean_of_means", strata=("bbh_a", "bbh_b")),
        *(Measurement(f"lm_eval/bbh_{x}/em", "report", ("0",), np.zeros(1), inputs=(f"task {x}",)) for x in "ab"),
        Measurement("lm_eval/gsm8k_cot/em", "report", ("0",), np.zeros(1), inputs=("sum",)),
        Measurement("lm_eval/gsm8k_cot/flexible", "report", ("0",), np.zeros(1), inputs=("sum",)),
    ]
    write_samples(tmp_path / SAMPLES, found, found)
    sets = {one.name: one.prompts for one in task_prompts(Record("c", "done"), tmp_path)}
    assert sets == {"bbh": ("task a", "task b"), "gsm8k_cot": ("sum",)}
    cell(tmp_path, {f"lm_eval/t{index}/acc": [f"{index} {i}" for i in range(30)] for index in range(57)})
    [one] = task_prompts(Record("c", "done"), tmp_path)
    assert one.name == "57 tasks" and len(one.prompts) == MOST_PROMPTS
    assert len({prompt.split()[0] for prompt in one.prompts}) > 45


CHATTING = {"max_new_tokens": 20, "chat": True}


@pytest.mark.parametrize(
    ("config", "chat"),
    [
        ({}, False),
        ({"model": {"chat": True}}, True),
        ({"model": {"chat": False}, "evaluation": {"measurements": {"c": {"generation": CHATTING}}}}, True),
        ({"model": {"chat": True}, "evaluation": {"measurements": {"max_new_tokens": 9, "chat": False}}}, False),
        (
            {
                "evaluation": {
                    "measurements": {
                        "toxicity": {"generation": CHATTING},
                        "jailbreak": {"generation": {"max_new_tokens": 9, "chat": False}},
                        "attitude": None,
                    }
                }
            },
            True,
        ),
        (
            {
                "evaluation": {
                    "measurements": {
                        "talk": {"scorers": {"toxicity": {}}, "generation": {"max_new_tokens": 9, "chat": False}},
                        "jailbreak": {"scorers": {"refusal": {}}, "generation": CHATTING},
                    }
                }
            },
            False,
        ),
    ],
)
def test_the_chat_template_is_used_where_it_was_when_measured(tmp_path: Path, config: Any, chat: bool) -> None:
    record = cell(tmp_path, {"toxicity/toxic_rate": ["a"]})
    assert behavior_prompts(record, tmp_path, config).chat is chat


def test_prompts_are_written_as_they_were_measured() -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0}, "<s>")), bos_token="<s>"
    )
    tokenizer.chat_template = "<s>{{ messages[0]['content'] }}{% if add_generation_prompt %} says{% endif %}"
    assert PromptSet("t", "behavior", ("hi",), chat=True).written(tokenizer) == (["<s>hi says"], False)
    assert PromptSet("t", "behavior", ("hi",)).written(tokenizer) == (["hi"], True)
    # lm-eval recorded a task's prompt in its template, where it had one.
    assert PromptSet("t", "task", ("<s>hi says",)).written(tokenizer) == (["<s>hi says"], False)
    assert PromptSet("t", "task", ("hi",)).written(tokenizer) == (["hi"], True)
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        PromptSet("t", "behavior", ("hi",), chat=True).written(tokenizer)


def shift(kind: Any, change: int) -> NeuronShift:
    before = [np.array([10 + index % 3, 12]) for index in range(40)]
    return NeuronShift(PromptSet(kind, kind, ("p",)), 200, before, [one + change for one in before])


@pytest.mark.parametrize(
    ("own", "task", "words"),
    [
        (20, 1, ("holds", "holds")),
        (-20, 20, ("does not hold", "does not hold")),
        (0, -3, ("can't tell", "does not hold")),
    ],
)
def test_the_words_for_a_shift(own: int, task: int, words: tuple[str, str]) -> None:
    told = shifts_in_words("b", [shift("behavior", own), shift("task", task)])
    assert (told[0].split(":")[0], told[2].split(":")[0]) == words
    # Means of (10 + 12) / 2, (11 + 12) / 2 and (12 + 12) / 2, 14, 13 and 13 times.
    mean = (14 * 11 + 13 * 11.5 + 13 * 12) / 40
    assert f"behavior (40 prompts): {mean:.2f} → {mean + own:.2f} active neurons a token: {own:+.2f}" in told[1]


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    name = "$x_{ [red]b"
    shifts = [NeuronShift(PromptSet(name, kind, ("p",)), 9, [np.array([3])], [np.array([3])]) for kind in KINDS]
    png, svg = save_charts(tmp_path, f"figure2-{name}", shift_charts(shifts))
    assert png.name == "figure2-_x__red_b.png" and png.is_file()
    # Matplotlib writes the characters of every text it draws as shapes, and the text as a comment.
    assert f"<!-- behavior prompts: {name} -->" in svg.read_text()
    cosines = ProbeCosines.of(
        {name: torch.ones(4), "other": -torch.ones(4)}, [(shifts[1].prompts, {1: torch.zeros(4)})]
    )
    assert cosines.between.tolist() == [[1, -1], [-1, 1]] and not cosines.attention.any()
    charts = cosine_charts(cosines)
    assert [chart.marks[0].values for chart in charts if isinstance(chart.marks[0], Grid)] == [
        tuple(map(tuple, found.tolist())) for found in (cosines.attention.reshape(2, 1), cosines.between)
    ]
    assert save_charts(tmp_path, "c", charts, size=cosines.size, widths=cosines.widths)
