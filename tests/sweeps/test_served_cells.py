"""Cells whose answers a vLLM server computes: a small server that speaks as vLLM does stands for it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_vllm import FakeVllm
from hydra import compose, initialize_config_module
from transformers import AutoModelForCausalLM

from evaluation.engines.completions_server import ServerLost
from surgery.errors import InputError
from sweeps.cell.settings import EngineSettings
from sweeps.config import resolvers
from sweeps.config.composition import Composed
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.planner import plan_cell
from sweeps.records.record import Record
from sweeps.results.protocols import measured_alike
from sweeps.run.run_cell import run_cell
from sweeps.run.workbench import Workbench
from sweeps.serving.engine_version import version_of
from sweeps.serving.server_keeper import KEEPER
from sweeps.serving.shared_server import ServerSpec, SharedServer
from sweeps.store.store import Store

Planned = Callable[..., Experiment]


@pytest.fixture(scope="module")
def planned(world) -> Planned:
    """Plans a cell with some keys."""
    materials = Materials()

    def plan(*keys: str) -> Experiment:
        resolvers.register()
        asked = ["model=local", f"model.path={world.model}", "behavior=tabular", f"behavior.path={world.texts}"]
        asked += [f"evaluation.text={world.text}", "tracking=none", "probe=mean_difference", "top_k=24", "alpha=0.5"]
        with initialize_config_module("conf", version_base="1.3"):
            return plan_cell(Composed.of(compose("config", [*asked, *keys]), keys), materials)

    return plan


@pytest.fixture(scope="module")
def fake(world) -> Iterator[tuple[FakeVllm, str]]:
    fake = FakeVllm(world.model)
    with fake.served() as url:
        yield fake, url


def served(url: str, *keys: str) -> list[str]:
    return ["engine=vllm", f"engine.url={url}", *keys]


def run(experiment: Experiment, folder: Path) -> Record:
    bench = Workbench(Store(folder / "store"), [experiment])
    record = run_cell(bench, experiment, folder / "runs" / "sweep" / experiment.cell.id)
    record.save(folder / "runs" / "sweep" / experiment.cell.id)
    return record


def test_the_default_engine_is_in_no_identity_and_a_server_s_version_is(planned: Planned, fake: Any) -> None:
    plain, ours = planned().cell, planned(*served(fake[1])).cell
    assert planned("engine=transformers").cell.id == plain.id
    assert not {"engine"} & (plain.identity().keys() | plain.keys().keys())
    assert ours.identity()["engine"] == {"name": "vllm", "version": "0.32.0"} and ours.keys()["engine"] == "vllm 0.32.0"
    assert ours.id != plain.id and ours.protocol != plain.protocol
    more = planned(*served(fake[1], "engine.max_loras=9")).cell
    assert (more.id, more.protocol) == (ours.id, ours.protocol), "how many at once changes no answer"
    newer = replace(ours, engine_version="0.33.0")
    assert newer.id != ours.id and newer.protocol != ours.protocol


def test_a_served_cell_measures_what_it_measures_in_memory(planned: Planned, fake: Any, tmp_path: Path, world) -> None:
    """Perplexity by the server, the probe's loss by the model in memory under the same edit."""
    expected, found = run(planned(), tmp_path), run(planned(*served(fake[1])), tmp_path)
    assert set(found.metrics) == set(expected.metrics) >= {"perplexity/story", "probe/loss_avoided"}
    for name, metric in found.metrics.items():
        assert metric.edited == pytest.approx(expected.metrics[name].edited, rel=1e-5), name
        if metric.base is not None:
            assert metric.base == pytest.approx(expected.metrics[name].base, rel=1e-5), name
    assert found.metrics["perplexity/story"].delta != 0
    assert found.edit["fingerprint"] == expected.edit["fingerprint"]
    assert found.edit["rows_per_layer"] == expected.edit["rows_per_layer"]
    assert found.edit["frobenius_norm"] == pytest.approx(expected.edit["frobenius_norm"], rel=1e-4)
    assert found.edit["served"]["move_off"] < 1e-3 < found.edit["served"]["moved"]
    assert not fake[0].adapters, "it is unloaded"
    assert not list((tmp_path / "runs" / "sweep" / found.cell).glob("adapter*"))
    with pytest.raises(InputError, match=r"engine is transformers in \w+ and vllm 0\.32\.0 in \w+.*--protocol"):
        measured_alike([expected, found], tmp_path / "runs" / "sweep")


@pytest.mark.slow
def test_a_cell_whose_stages_are_there_loads_no_model(
    planned: Planned, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planned(*served(fake[1], "evaluation.probe_loss=false"))
    first = run(cell, tmp_path)
    monkeypatch.setattr("sweeps.run.workbench.load_model", lambda **_: pytest.fail("a model was loaded"))
    for entry in (tmp_path / "store" / "edited").iterdir():
        entry.rename(tmp_path / entry.name)
    assert run(cell, tmp_path).metrics == first.metrics


@pytest.mark.parametrize(
    ("fault", "said"),
    [("deaf", "answers with the base in place of the edit"), ("doubled", "answers with another change")],
)
def test_what_does_not_answer_as_the_edit_is_refused(
    planned: Planned, fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setattr(fake[0], fault, True)
    with pytest.raises(InputError, match=said):
        run(planned(*served(fake[1])), tmp_path)
    assert not fake[0].adapters


@pytest.mark.slow
def test_a_base_of_another_identity_is_refused(planned: Planned, world, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(world.model)
    model.lm_head.weight.data *= 1.5
    model.save_pretrained(tmp_path / "other")
    with FakeVllm(tmp_path / "other").served() as url, pytest.raises(InputError, match="does not serve this base"):
        run(planned(*served(url)), tmp_path)


def test_a_server_that_goes_is_lost_and_not_the_cell_s_fault(planned: Planned, world, tmp_path: Path) -> None:
    with FakeVllm(world.model).served() as url:
        cell = planned(*served(url))
    with pytest.raises(ServerLost, match="does not answer"):
        run(cell, tmp_path)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["method=caa"], r"method=caa is no LoRA .*engine=transformers, or take surgery, lora"),
        (["method=gradient_ascent"], "is no LoRA"),
        (["method=directional_ablation"], "is no LoRA"),
        (["engine.url=null"], "engine.url=http://HOST:PORT .* or engine.python=PYTHON"),
        (["engine.python=python3"], "one of two"),
        (["engine.arguments=[--quantization]"], "engine.arguments are for a server that is started"),
        (["method=lora", "method.rank=32"], "rank 32, and engine.max_lora_rank is 16"),
        (["engine.url=http://127.0.0.1:9"], "does not answer"),
    ],
)
def test_what_can_not_be_served_is_refused_before_anything_is_loaded(
    planned: Planned, fake: Any, keys: list[str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        planned(*served(fake[1]), *keys)


def test_the_version_is_told_without_what_names_a_build(vllm_python: Path, tmp_path: Path) -> None:
    assert version_of(EngineSettings("vllm", python=str(vllm_python))) == "0.32.0"
    with pytest.raises(InputError, match="has no vLLM"):
        version_of(EngineSettings("vllm", python=sys.executable))
    with pytest.raises(InputError, match="can't be run"):
        version_of(EngineSettings("vllm", python=str(tmp_path / "none")))


def spec(python: Path, model: Path) -> ServerSpec:
    return ServerSpec(str(python), str(model), "fingerprint", "float32", 64, 4, 16, ())


def test_a_server_is_started_with_adapters_and_on_this_machine_alone(vllm_python: Path, tmp_path: Path) -> None:
    command = " ".join(spec(vllm_python, tmp_path).command(8000))
    for part in ("--host 127.0.0.1", "--enable-lora", "--max-lora-rank 16", "--dtype float32", "--max-model-len 65"):
        assert part in command
    assert "--max-loras 17 --max-cpu-loras 17" in command, "on a CPU one place more than adapters that may be there"
    assert "key" not in command


def test_machines_that_share_their_temporary_files_share_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do jobs of SLURM on one machine: it ends what a job has started."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def folder() -> Path:
        return SharedServer(spec(tmp_path / "python", tmp_path), print).folder

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    ours = folder()
    assert folder() == ours
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    job = folder()
    monkeypatch.setattr("platform.node", lambda: "another")
    assert len({ours, job, folder()}) == 3


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_one_server_is_shared_replaced_once_and_ends_with_its_last_user(
    vllm_python: Path, world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    said: list[str] = []
    one, other = (SharedServer(spec(vllm_python, world.model), said.append) for _ in range(2))
    first = one.at(tmp_path / "logs")
    assert other.at(tmp_path / "unused") == first and first.key not in repr(first)
    assert len(said) == 1, "it is started once"
    kept = [child for child in psutil.Process().children(recursive=True) if KEEPER in child.cmdline()]
    assert not kept, "what ends all children of this process doesn't end it"
    assert (one.folder / "state.json").stat().st_mode & 0o077 == 0, "the key is for this user alone"
    os.kill(one._state()["pid"], signal.SIGKILL)
    until(lambda: "ended" in one._state())
    second = one.at(tmp_path / "logs")
    assert second != first and second.alive() and "another is started" in " ".join(said)
    os.kill(one._state()["pid"], signal.SIGKILL)
    until(lambda: "ended" in one._state())
    with pytest.raises(InputError, match=r"so did the one that took its place; see .*vllm-\S+\.log"):
        other.at(tmp_path / "logs")
    one.close()
    other.close()
    third = one.at(tmp_path / "logs")
    assert third.alive(), "a command that comes later begins anew"
    other.at(tmp_path / "logs")
    one.close()
    time.sleep(2)
    assert third.alive()
    other.close()
    until(lambda: not third.alive())
    until(lambda: not (one.folder / "state.json").exists())


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_sweep_costs_no_cell(
    surgery, arguments, vllm_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results
) -> None:
    """The sweep's first server ends at its sixth request for completions."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("FAKE_VLLM_DIES_ONCE", str(tmp_path / "died"))
    keys = ["-m", "alpha=0.5,1,1.5", "probe=mean_difference", "top_k=24", *arguments]
    ran = surgery(*keys, "engine=vllm", f"engine.python={vllm_python}", "sweep=served")
    assert ran.code == 0, ran.err
    assert (tmp_path / "died").exists() and "the cell is run again" in ran.err and "another is started" in ran.err
    assert list((tmp_path / "outputs" / "runs" / "served").glob("vllm-*.log"))
    assert surgery(*keys, "sweep=memory").code == 0
    by_alpha: dict[Any, list[Any]] = {}
    for result in results().values():
        by_alpha.setdefault(result["keys"]["alpha"], []).append(result["metrics"])
    assert len(by_alpha) == 3
    for one, other in by_alpha.values():
        for name in one:
            assert one[name]["edited"] == pytest.approx(other[name]["edited"], rel=1e-5), name
