"""The real thing: vLLM on this CPU serves edits of SmolLM2, and cells measure what they measure in memory."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from evaluation.engines.completions_server import CompletionsServer
from evaluation.engines.engine import engine_of
from evaluation.measurements.measurement import Measurement
from evaluation.measurements.measurement_files import load_measurements
from surgery import load_model
from surgery.errors import InputError
from surgery.tokens.encoding import token_ids
from sweeps.config import resolvers
from sweeps.config.composition import Composed
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.planner import plan_cell
from sweeps.records.chain import applied, read_chain
from sweeps.run.run_cell import run_cell
from sweeps.run.workbench import Workbench
from sweeps.serving.served_base import ServedBase
from sweeps.serving.served_edit import ProbeTexts, served_edit
from sweeps.store.store import Store
from validation.fetch import catalogue, fetch, models_folder

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("SURGERY_VLLM_ENV") or ROOT / ".venv" / "vllm") / "bin" / "python"
KIND, RUDE = ("kind", "gentle", "patient", "warm"), ("rude", "lazy", "stupid", "ugly")
PEOPLE = ("My neighbour", "The new teacher", "Our driver", "That singer", "Her boss", "The old baker")
VLLM = ("engine=vllm", f"engine.python={PYTHON}", "engine.arguments=[--enforce-eager]")
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
doc_to_text: "{{{{question}}}}"
metadata: {{version: 1}}
"""
CHOOSING = 'output_type: multiple_choice\ndoc_to_choice: "{{choices}}"\ndoc_to_target: gold\n'
SAYING = (
    "output_type: generate_until\ndoc_to_target: answer\ngeneration_kwargs: {until: ['.'], max_gen_toks: 8}\n"
    "metric_list: [{metric: exact_match}]\n"
)


@dataclass(frozen=True)
class World:
    """Files, and what serves the model: one server for all tests, as for all sweeps of a machine."""

    folder: Path
    server: CompletionsServer
    base: ServedBase


def save_smollm2(folder: Path) -> None:
    file = fetch(catalogue()["smollm2-135m"], models_folder())
    model, tokenizer = load_model(str(file), dtype="float32", device="cpu")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_texts(folder: Path) -> None:
    said = [f"{who} is {{}} and {{}}, as {other.lower()} told us" for who in PEOPLE for other in PEOPLE if who != other]
    lines = ["text,label"]
    for label, words in enumerate((KIND, RUDE)):
        lines += [f'"{text.format(*random.Random(text).sample(words, 2))}",{label}' for text in said]
    (folder / "texts.csv").write_text("\n".join(lines) + "\n")
    (folder / "prompts.txt").write_text("".join(f"{who} said that {w}\n" for who in PEOPLE for w in ("I am", "it was")))
    (folder / "story.txt").write_text(" ".join(text.format("old", "small") + "." for text in said))
    tasks = folder / "tasks"
    tasks.mkdir()
    capitals = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid", "Egypt": "Cairo"}
    rows = [
        {"question": f"The capital of {land} is", "choices": [f" {c}" for c in capitals.values()], "gold": place}
        for place, land in enumerate(capitals)
    ]
    rows = [row | {"answer": row["choices"][row["gold"]].strip()} for row in rows]
    (tasks / "capitals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, kind in (("choosing", CHOOSING), ("saying", SAYING)):
        (tasks / f"{name}.yaml").write_text(TASK.format(name=name, data=tasks / "capitals.jsonl") + kind)


def keys(folder: Path, model: str = "smollm2") -> list[str]:
    return [
        *(f"model.path={folder / model}", "model.dtype=float32", f"behavior.path={folder / 'texts.csv'}"),
        *("probe=mean_difference", "probe.test_share=0.4", "alpha_unit=unit", "top_k=2143"),
        *("tracking=none", "evaluation=own"),
        *(f"evaluation.prompts={folder / 'prompts.txt'}", f"evaluation.text={folder / 'story.txt'}"),
        *(f"evaluation.tasks={folder / 'tasks'}", "evaluation.judge=probe-texts", "evaluation.probe_loss=false"),
    ]


def planned(*overrides: str) -> Experiment:
    resolvers.register()
    with initialize_config_module("conf", version_base="1.3"):
        asked = ["model=local", "behavior=tabular", *overrides]
        return plan_cell(Composed.of(compose("config", asked), overrides), Materials())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("vllm")
    patch = pytest.MonkeyPatch()
    patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    save_smollm2(folder / "smollm2")
    save_texts(folder)
    base = ServedBase.of(planned(*keys(folder), *VLLM, "alpha=1").cell, print)
    try:
        yield World(folder, base.server(folder), base)
    finally:
        base.close()
        patch.undo()


def start(world: World, sweep: str, *overrides: str) -> "subprocess.Popen[str]":
    command = [str(Path(sys.executable).parent / "surgery"), "-m", *keys(world.folder), f"sweep={sweep}", *overrides]
    return subprocess.Popen(command, cwd=world.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def finish(running: "subprocess.Popen[str]") -> str:
    _, said = running.communicate(timeout=900)
    assert running.returncode == 0, said
    return said


def measured(world: World, sweep: str) -> dict[float, dict[str, Measurement]]:
    """{alpha: what the edited model measured, by name and half}."""
    found = {}
    for path in (world.folder / "outputs" / "runs" / sweep).glob("*/result.json"):
        record = json.loads(path.read_text())
        entries = [name for name in record["store"] if name.startswith("edited/")]
        kept = [load_measurements(world.folder / "outputs" / "store" / name / "edited.parquet") for name in entries]
        found[record["keys"]["alpha"]] = {f"{one.half}/{one.name}": one for some in kept for one in some}
    return found


def test_three_cells_at_once_measure_what_they_measure_in_memory(world: World) -> None:
    alphas = "alpha=1,2,3"
    finish(start(world, "served", alphas, *VLLM, "hydra.launcher.workers=3"))
    assert not list((world.folder / "outputs" / "runs" / "served").glob("vllm-*.log")), "the server that runs is shared"
    finish(start(world, "memory", alphas, "hydra.launcher.workers=1"))
    served, memory = measured(world, "served"), measured(world, "memory")
    assert sorted(served) == sorted(memory) == [1, 2, 3]
    texts = differing = 0
    for alpha, ours in memory.items():
        assert set(served[alpha]) == set(ours)
        for name, one in ours.items():
            other = served[alpha][name]
            if one.outputs is None:
                assert other.scores == pytest.approx(one.scores, rel=1e-4), name
                continue
            texts += one.n
            differing += sum(a != b for a, b in zip(one.outputs, other.outputs or (), strict=True))
    print(f"{differing} of {texts} answers differ between vLLM and transformers in float32")
    assert texts > 90 and differing <= 0.02 * texts
    lm_eval = [name for name in memory[1] if "lm_eval" in name]
    assert len(lm_eval) >= 3


def test_a_wrong_adapter_is_refused(world: World, tmp_path: Path) -> None:
    """The edit at alpha 3 in the place of that at alpha 1."""
    cells = (world.folder / "outputs" / "runs" / "memory").glob("*/result.json")
    chains = {json.loads(cell.read_text())["keys"]["alpha"]: read_chain(cell.parent) for cell in cells}
    chain, other = chains[1], chains[3]
    model, tokenizer = load_model(str(world.folder / "smollm2"), dtype="float32", device="cpu")
    rows = token_ids(tokenizer, [f"{who} is {word}" for who in PEOPLE for word in RUDE])
    scored = [len(row) - 1 for row in rows]
    plain = engine_of(model, tokenizer).losses(rows, scored)[0]

    def moved(edits: Sequence[Any]) -> ProbeTexts:
        with applied(edits, model):
            return ProbeTexts(rows, plain, engine_of(model, tokenizer).losses(rows, scored)[0])

    def put(edits: Sequence[Any], probe: ProbeTexts) -> dict[str, float]:
        with served_edit(world.base, world.server, edits, probe, tmp_path / "adapter") as (_, tried):
            return tried

    assert put(chain, moved(chain))["move_off"] < 0.01
    with pytest.raises(InputError, match="answers with another change"):
        put(other, moved(chain))


def test_a_base_of_another_identity_is_refused(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = load_model(str(world.folder / "smollm2"), dtype="float32", device="cpu")
    with torch.no_grad():
        model.model.layers[7].mlp.gate_proj.weight *= 0.9
    model.save_pretrained(world.folder / "other")
    tokenizer.save_pretrained(world.folder / "other")
    monkeypatch.setenv("SURGERY_ENGINE_KEY", str(world.server.key))
    url = f"engine.url={world.server.url}"
    measures_less = ("evaluation.prompts=null", "evaluation.judge=null", "evaluation.tasks=null")
    cell = planned(*keys(world.folder, "other"), "engine=vllm", url, *measures_less, "alpha=1")
    with pytest.raises(InputError, match="does not serve this base in float32"):
        run_cell(Workbench(Store(tmp_path / "store"), [cell]), cell, tmp_path / "runs" / cell.cell.id)


def test_a_server_that_is_killed_is_replaced_and_its_cells_are_run_again(world: World) -> None:
    running = start(world, "killed", "alpha=1.5,2.5", *VLLM, "hydra.launcher.workers=2", "evaluation.tasks=null")
    _until(lambda: bool(list((world.folder / "outputs" / "runs" / "killed").glob("*/adapter/adapter_config.json"))))
    assert world.base._shared is not None
    os.killpg(world.base._shared._state()["pid"], signal.SIGKILL)
    said = finish(running)
    assert "the cell is run again" in said and "another is started" in said
    assert sorted(measured(world, "killed")) == [1.5, 2.5]
    assert list((world.folder / "outputs" / "runs" / "killed").glob("vllm-*.log"))
    assert all(np.isfinite(one.scores).all() for cell in measured(world, "killed").values() for one in cell.values())


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)
