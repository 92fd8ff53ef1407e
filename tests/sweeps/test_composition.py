"""Composing many cells at once gives what Hydra gives for each."""

import pytest
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from hydra_plugins.grid_sweeper import GridSweeper
from surgery import InputError
from sweeps.config import resolvers
from sweeps.config.composition import compose_jobs
from sweeps.config.read_settings import plain

BASE = ["model.path=some/where", "model=local", "behavior=tabular", "behavior.path=b/texts.csv"]


@pytest.fixture
def loader():
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def master(loader):
    return loader.load_configuration("config", BASE, run_mode=RunMode.MULTIRUN)


JOBS = [
    [*BASE, "alpha=1", "top_k=8"],
    [*BASE, "alpha=-2.5", "top_k=16"],
    [*BASE, "alpha=1e-3", "top_k=null"],
    # Asked for elsewhere: seeds, limits of measurements, the sweep's name.
    [*BASE, "seed=1"],
    [*BASE, "seed=2"],
    [*BASE, "evaluation.limit=5", "alpha=1"],
    [*BASE, "evaluation.limit=7", "alpha=2"],
    [*BASE[:0], "model.path=other/place", *BASE[1:]],
    [*BASE, "quick=true"],
    [*BASE, "quick=false"],
    # Groups, lists, additions, deletions, mappings, quotes, interpolations.
    [*BASE, "probe=logistic", "alpha=3"],
    [*BASE, "probe=random", "alpha=4"],
    [*BASE, "region.layers=[1,2]"],
    [*BASE, "region.layers=[3]"],
    [*BASE, "+model.extra=1"],
    [*BASE, "~behavior.preset"],
    [*BASE, "++behavior.preset={alpha: 7}"],
    [*BASE, "++behavior.preset={layer: 3}"],
    [*BASE, "behavior.avoid=['a b',2]", "behavior.label='x, y'"],
    [*BASE, "alpha=${seed}"],
    [*BASE, "behavior.name=7"],
    [*BASE, "sweep=a"],
    [*BASE, "sweep=b"],
]


@pytest.mark.slow
def test_every_job_is_what_hydra_composes(loader, master) -> None:
    expected = [plain(loader.load_sweep_config(master, job)) for job in JOBS]
    assert [one.values for one in compose_jobs(loader, master, JOBS)] == expected
    # The other way round too: nothing of one job may stay in the next.
    backwards = compose_jobs(loader, master, JOBS[::-1])
    assert [one.values for one in backwards] == expected[::-1]
    assert [one.overrides for one in backwards] == [tuple(job) for job in JOBS[::-1]]


def test_a_grid_is_composed_by_hydra_once(loader, master, monkeypatch) -> None:
    count = []
    original = type(loader).load_sweep_config
    monkeypatch.setattr(type(loader), "load_sweep_config", lambda self, *a: count.append(1) or original(self, *a))
    compose_jobs(loader, master, [[*BASE, f"alpha={a}", f"top_k={k}"] for a in range(1, 20) for k in range(1, 5)])
    assert len(count) == 1


def test_a_key_that_is_not_there_is_refused(loader, master) -> None:
    with pytest.raises(Exception, match="alfa"):
        compose_jobs(loader, master, [[*BASE, "alfa=1"], [*BASE, "alfa=2"]])


def test_a_key_without_a_value_is_named(loader) -> None:
    master = loader.load_configuration("config", ["model=local"], run_mode=RunMode.MULTIRUN)
    with pytest.raises(InputError, match=r"model\.path is not given"):
        compose_jobs(loader, master, [["model=local", "alpha=1"]])
    assert OmegaConf.is_missing(master.model, "path")


def test_a_pattern_stands_for_the_options_of_its_group(loader) -> None:
    sweeper = GridSweeper(None)
    sweeper._loader = loader
    [override] = sweeper.overrides(["model=glob(toyworld*)"])
    assert list(override.sweep_string_iterator()) == ["toyworld", "toyworld-chat"]
    with pytest.raises(InputError, match=r"model=glob\(nothing\*\) stands for no value; there are .*toyworld"):
        sweeper.overrides(["model=glob(nothing*)"])
    with pytest.raises(InputError, match=r"alpha=range\(3,3\) stands for no value$"):
        sweeper.overrides(["alpha=range(3,3)"])
