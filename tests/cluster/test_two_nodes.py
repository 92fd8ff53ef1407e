"""A Ray of two nodes on this machine, records on a folder that both see: a node that dies, a server for each."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from waiting import wait_for

from sweeps.records.record import LOCKS, load_records

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory, module_path: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """A Ray of one node of one processor, and its environment: as if it ran in a job of SLURM."""
    from ray.cluster_utils import Cluster

    environment = {"PYTHONPATH": module_path, "TMPDIR": str(tmp_path_factory.mktemp("shared")), "SLURM_JOB_ID": "1"}
    # Ray's sockets lie in it, and their paths have to be short.
    with TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        head = {"num_cpus": 1, "env_vars": environment, "include_log_monitor": False, "temp_dir": folder}
        cluster = Cluster(initialize_head=True, head_node_args=head | {"include_dashboard": False})
        yield cluster, environment
        cluster.shutdown()


@pytest.fixture
def node(ray_cluster: tuple[Any, dict[str, str]]) -> Iterator["subprocess.Popen[bytes]"]:
    """The raylet of a second node, which is the parent of its workers: as if in another job of SLURM."""
    cluster, environment = ray_cluster
    added = cluster.add_node(num_cpus=1, env_vars=environment | {"SLURM_JOB_ID": "2"})
    yield added.all_processes["raylet"][0].process
    cluster.remove_node(added, allow_graceful=False)


@pytest.fixture
def on_ray(ray_cluster: tuple[Any, dict[str, str]]) -> tuple[str, str]:
    """The keys of a sweep on both nodes."""
    return f"hydra.launcher.address={ray_cluster[0].address}", "hydra.launcher.cells_per_job=3"


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


def fault(log: Path) -> list[str]:
    """A measurement that takes a while, and notes each time that it does."""
    target = f"{{_target_: faults.Fault, how: slow, rows: 0, log: {log}}}"
    return ["evaluation=none", f"+evaluation.measurements.fault={target}"]


def servers(model: Path) -> set[int]:
    """The processes of servers of a model."""
    running = psutil.process_iter(["pid", "cmdline"])
    return {one.pid for one in running if {"--model", str(model)} <= set(one.info["cmdline"] or [])}


def test_a_node_that_is_killed_costs_only_the_cell_it_was_at(on_ray, node, start, run, tmp_path) -> None:
    grid = "top_k=4,8,12,16,20,24"

    def measured() -> list[str]:
        lines = (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []
        return [line for line in lines if line != "0"]

    process = start("ray", *on_ray, *fault(tmp_path / "log"), grid)
    wait_for(lambda: bool(measured()) and at_a_cell(node), seconds=300)
    node.kill()
    node.wait()
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err + out
    assert "is run again" in err
    assert 6 <= len(measured()) <= 7, "no cell is measured twice but the one in flight"
    code, said = run("here", *fault(tmp_path / "log-alone"), grid, "output_dir=alone")
    assert code == 0, said
    assert rows(tmp_path / "outputs") == rows(tmp_path / "alone")


def test_each_node_has_a_server_of_its_own_which_is_gone_at_the_end(
    on_ray, node, start, run, tmp_path, world, vllm_python
) -> None:
    """Two jobs of SLURM stand for two machines: they share the folder of temporary files, and no server."""
    alphas = "alpha=0.5,1,1.5,2,2.5,3"
    served = "engine=vllm", f"engine.python={vllm_python}", "probe=mean_difference", "top_k=24", alphas
    process, seen = start("ray", *on_ray, *served), set()
    while process.poll() is None:
        seen |= servers(world.model)
        time.sleep(0.1)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err + out
    assert len(seen) == err.count("starting vLLM") == 2
    assert len(list((tmp_path / "outputs" / "runs" / "tiny-texts").glob("vllm-*.log"))) == 2
    wait_for(lambda: not seen & servers(world.model), seconds=300)
    code, said = run("here", *served, "output_dir=alone")
    assert code == 0, said
    assert rows(tmp_path / "outputs") == rows(tmp_path / "alone")
