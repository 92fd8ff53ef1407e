"""What a search names new cells with: Optuna's samplers, by their names in `hydra.sweeper.sampler`."""

from typing import TYPE_CHECKING

from surgery.errors import InputError

if TYPE_CHECKING:
    import optuna

SAMPLERS = ("tpe", "nsga2", "gp", "random")


def make_sampler(kind: str, seed: int, startup: int) -> "optuna.samplers.BaseSampler":
    """A sampler by its name.

    Raises:
        InputError: when there is none of that name.
    """
    from optuna import samplers

    if kind == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True)
    if kind == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)
    if kind == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=max(2, startup))
    if kind == "random":
        return samplers.RandomSampler(seed=seed)
    raise InputError(f"hydra.sweeper.sampler={kind} is unknown; it is one of {', '.join(SAMPLERS)}")
