"""A Ray of two nodes on this machine, records on a folder that both see: a node that dies, a server for each."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from sweeps.records.record import LOCKS, load_records

pytestmark = pytest.mark.cluster

AddNode = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """A Ray whose head runs no cells."""
    from ray.cluster_utils import Cluster

    # Its sockets lie in it, and their paths have to be short.
    with TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "temp_dir": folder}
        )
        yield cluster
        cluster.shutdown()


@pytest.fixture
def add_node(ray_cluster: Any, module_path: str) -> Iterator[AddNode]:
    """Starts a node of one processor with a further environment: its raylet, which is the parent of its workers."""
    nodes = []

    def add(**environment: str) -> "subprocess.Popen[bytes]":
        nodes.append(ray_cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": module_path, **environment}))
        raylet: subprocess.Popen[bytes] = nodes[-1].all_processes["raylet"][0].process
        return raylet

    yield add
    for node in nodes:
        ray_cluster.remove_node(node, allow_graceful=False)


def rows(outputs: Path) -> list[dict[str, Any]]:
    """What the cells of the sweep found, without how long it took, in one order."""
    records = load_records(outputs / "runs" / "tiny-texts")
    assert {record.status for record in records} == {"done"}
    found = [
        {"cell": one.cell, "keys": one.keys, "metrics": one.metrics, "edit": one.edit["fingerprint"]} for one in records
    ]
    return sorted(found, key=lambda row: str(row["cell"]))


def at_a_cell(raylet: "subprocess.Popen[bytes]") -> bool:
    """Whether a worker of the node holds a cell's lock."""
    try:
        workers = psutil.Process(raylet.pid).children(recursive=True)
        opened = [file.path for worker in workers for file in worker.open_files()]
    except psutil.NoSuchProcess:
        return False
    return any(f"/runs/tiny-texts/{LOCKS}/" in path for path in opened)


def wait_for(what: Callable[[], bool], seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def fault(log: Path) -> list[str]:
    """A measurement that takes a while, and notes each time that it does."""
    target = f"{{_target_: faults.Fault, how: slow, rows: 0, log: {log}}}"
    return ["evaluation=none", f"+evaluation.measurements.fault={target}"]


def servers(model: Path) -> set[int]:
    """The processes of servers of a model."""
    running = psutil.process_iter(["pid", "cmdline"])
    return {one.pid for one in running if {"--model", str(model)} <= set(one.info["cmdline"] or [])}


def test_a_node_that_is_killed_costs_only_the_cell_it_was_at(ray_cluster, add_node, start, run, tmp_path) -> None:
    grid = "top_k=4,8,12,16,20,24"
    nodes = [add_node(), add_node()]
    ray = f"hydra.launcher.address={ray_cluster.address}", "hydra.launcher.cells_per_job=3"
    process = start("ray", *ray, *fault(tmp_path / "log"), grid)
    wait_for(lambda: all(map(at_a_cell, nodes)))
    nodes[0].kill()
    nodes[0].wait()
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err + out
    assert "is run again" in err
    measured = [line for line in (tmp_path / "log").read_text().split() if line != "0"]
    assert 6 <= len(measured) <= 7, "no cell is measured twice but the one in flight"
    code, said = run("here", *fault(tmp_path / "log-alone"), grid, "output_dir=alone")
    assert code == 0, said
    assert rows(tmp_path / "outputs") == rows(tmp_path / "alone")


def test_each_node_has_a_server_of_its_own_which_is_gone_at_the_end(
    ray_cluster, add_node, start, run, tmp_path, world, vllm_python
) -> None:
    """Two jobs of SLURM stand for two machines: they share the folder of temporary files, and no server."""
    for job in ("1", "2"):
        add_node(TMPDIR=str(tmp_path), SLURM_JOB_ID=job)
    served = "engine=vllm", f"engine.python={vllm_python}", "probe=mean_difference", "top_k=24", "alpha=0.5,1,1.5,2"
    ray = f"hydra.launcher.address={ray_cluster.address}", "hydra.launcher.cells_per_job=2"
    process, seen = start("ray", *ray, *served), set()
    while process.poll() is None:
        seen |= servers(world.model)
        time.sleep(0.1)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err + out
    assert len(seen) == err.count("starting vLLM") == 2
    assert len(list((tmp_path / "outputs" / "runs" / "tiny-texts").glob("vllm-*.log"))) == 2
    wait_for(lambda: not seen & servers(world.model))
    code, said = run("here", *served, "output_dir=alone")
    assert code == 0, said
    assert rows(tmp_path / "outputs") == rows(tmp_path / "alone")
