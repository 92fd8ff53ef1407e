"""The plan of a sweep over alpha and the size of the region."""

from typing import Any

ALPHAS, SIZES = (1, 1.5, 2, 2.5, 3, 4), (32, 48, 128, 256)


def compose(arguments: list[str]) -> Any:
    """The plan of a command."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from sweeps.config import resolvers
    from sweeps.config.composition import compose_jobs
    from sweeps.plan.planner import make_plan

    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", arguments, run_mode=RunMode.MULTIRUN)
        jobs = [[*arguments, f"alpha={alpha}", f"top_k={size}"] for alpha in ALPHAS for size in SIZES]
        return make_plan(compose_jobs(loader, master, jobs))
