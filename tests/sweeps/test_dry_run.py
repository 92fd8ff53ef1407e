"""What `dry_run=true` says of the time is of the same work, and it refuses what a run would refuse."""

import re
from dataclasses import replace
from typing import Any

import pytest

from surgery.errors import InputError
from surgery.model.loading import require_device
from sweeps.conduct.dry_run import _work
from sweeps.records.record import load_records

HERE = {"processor": "p", "cores": 2, "device": "cpu", "threads": 1}


@pytest.mark.parametrize(
    ("keys", "protocol", "machine", "same"),
    [
        ({"alpha": 9.0, "top_k": 3, "seed": 4, "layer": 2}, "a", HERE, True),
        ({}, "a", HERE | {"threads": 8}, True),
        # Other prompts, tasks, limits, windows or evaluators are another protocol.
        ({}, "b", HERE, False),
        ({"model": "other"}, "a", HERE, False),
        ({"model.dtype": "bfloat16"}, "a", HERE, False),
        ({"method": "lora", "method.epochs": 1}, "a", HERE, False),
        ({}, "a", HERE | {"device": "NVIDIA H100"}, False),
    ],
)
def test_an_estimate_is_of_the_same_work_on_the_same_machine(keys, protocol, machine, same: bool) -> None:
    own = {"model": "m", "model.dtype": "auto", "method": "surgery", "alpha": 1.0, "top_k": 8, "behavior": "b"}
    assert (_work(own, "a", HERE) == _work(own | keys, protocol, machine)) == same


def test_training_is_on_the_texts() -> None:
    own = {"model": "m", "method": "lora", "method.epochs": 1, "behavior.limit": 40}
    for other in ({"behavior.limit": 400}, {"method.epochs": 2}):
        assert _work(own, "a", HERE) != _work(own | other, "a", HERE)


def test_the_estimate_says_of_what_it_is_and_what_is_not_in_it(surgery, arguments, tmp_path) -> None:
    assert surgery(*arguments, "top_k=4").code == 0
    folder = tmp_path / "outputs" / "runs" / "tiny-texts"
    [record] = load_records(folder)
    replace(record, seconds={"region": 30.0, "base": 500.0, "edited": 30.0, "record": 0.0}).save(folder / record.cell)
    again = surgery(*arguments, "-m", "top_k=4,8,16", "dry_run=true").out
    assert (
        "cells that would run: 2; about 2 min, at 60 s a cell as in 1 earlier cell here; not in it: loading the model"
        in again
    )
    assert "to make;" not in again.splitlines()[-1]
    # To measure something else is other work.
    more = surgery(*arguments, "-m", "top_k=4,8", "evaluation.probe_loss=false", "dry_run=true").out
    assert "how long that takes is known after the first cell (no cell of the same model, method and meas" in more
    both = surgery(*arguments, "-m", "top_k=4,8", "method=surgery,feature_subtraction", "layer=2", "dry_run=true").out
    assert "1 of the cells (no cell of the same model" in both
    assert "1 hidden_states to make, 1 probe to make" in both
    assert "nothing was run" in surgery(*arguments, "top_k=4", "dry_run=true").out.splitlines()[-1]


@pytest.mark.parametrize("name", ["result.json", "edit.safetensors"])
def test_a_dry_run_keeps_the_cells_that_a_run_would_keep(surgery, arguments, tmp_path, name: str) -> None:
    """One that is damaged counts as not run, for both."""
    cells = ["-m", *arguments, "top_k=4,8"]
    assert surgery(*cells).code == 0
    damaged = sorted((tmp_path / "outputs" / "runs" / "tiny-texts").glob(f"*/{name}"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    dry = surgery(*cells, "dry_run=true")
    assert dry.code == 0, dry.err
    assert "its cell counts as not run" in dry.out and "cells that would run: 1;" in dry.out
    ran = surgery(*cells)
    assert ran.code == 0 and "1 of 2 cells are finished already" in ran.err


@pytest.mark.parametrize(
    ("device", "there", "said"),
    [
        ("cpu", 0, None), ("auto", 0, None), ("balanced", 0, None), ({"model": "cpu", "lm_head": "disk"}, 0, None),
        ("cuda", 0, "no CUDA device is here"), ({"model": 0}, 0, "no CUDA device is here"),
        ("cuda", 1, None), ({"model": 0, "lm_head": "cuda:1"}, 2, None),
        ("cuda:1", 1, "of CUDA devices there is here cuda:0"),
        ({"model": 2}, 2, "of CUDA devices there is here cuda:0 to cuda:1"),
        ("mps", 1, "have no float64"), ({"model": "mps:0"}, 1, "use model.device=cpu"),
        ("xpu", 1, "no XPU device is here"), ("meta", 1, "no META device is here"),
        *((what, 1, "is no device; it is auto, cpu,") for what in
          ("gpu", "CUDA", "cuda:-1", "", -1, None, 1.5, True, {"model": None}, {"model": []})),
    ],
)  # fmt: skip
def test_a_device_is_one_that_is_here(monkeypatch, device: Any, there: int, said: str | None) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    if said is None:
        require_device(device)
    else:
        with pytest.raises(InputError, match=re.escape(said)):
            require_device(device)


@pytest.mark.parametrize(
    ("device", "more"),
    [
        ("cuda", ["top_k=4"]),
        ("gpu", ["top_k=4"]),
        ("{lm_head: cuda:7}", ["top_k=4"]),
        ("cuda", ["-m", "top_k=4,8"]),
        ("cuda", ["-m", "hydra/sweeper=optuna", "alpha=interval(1,2)"]),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_anything_runs(
    surgery, arguments, tmp_path, monkeypatch, device: str, more: list[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for dry in ("true", "false"):
        ran = surgery(*arguments, *more, f"model.device={device}", f"dry_run={dry}")
        [line] = ran.err.splitlines()
        assert (ran.code, ran.out) == (1, "")
        assert line.startswith("surgery: model.device=")
        assert not (tmp_path / "outputs").exists()


def test_a_cluster_may_have_what_this_machine_has_not(surgery, arguments, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cluster = ["-m", "top_k=4", "model.device=cuda", "hydra/launcher=resident_slurm"]
    kept = [argument for argument in arguments if not argument.startswith("hydra.")]
    ran = surgery(*kept, *cluster, "dry_run=true")
    assert ran.code == 0, ran.err
