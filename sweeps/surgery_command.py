"""The `surgery` command: a Hydra app whose errors are one line."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_module
from hydra import main as hydra_main
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from surgery.errors import InputError
from sweeps import resolvers
from sweeps.import_path import import_packages_only
from sweeps.settings import unknown_key

if TYPE_CHECKING:
    from sweeps.composition import Composed
    from sweeps.engines.protocol import Engine

# A path alone names its group: nobody who gives a model of his own wants the toy world's settings for it.
IMPLIED = {"model.path": ("model", "local"), "behavior.path": ("behavior", "tabular"), "probe.path": ("probe", "file")}

_SEPARATOR = re.compile(r"^(behavior\.separator=)([^\w'\"])$")


class CellsFailed(Exception):
    """Some cells failed; each was shown when it did."""


def run_composed(composed: "Sequence[Composed]", make_engine: "Callable[[], Engine]") -> None:
    """Plans and runs composed cells; those that follow others once these are there.

    Raises:
        InputError: for anything that is wrong before a model is loaded.
        CellsFailed: when the command ended with failed cells.
    """
    from sweeps.following import first_and_following, following, on_its_own
    from sweeps.materials import Materials
    from sweeps.plan import make_plan

    materials = Materials()
    first, later = first_and_following(composed)
    plan = make_plan(first, materials)
    if later:
        # Whatever else is wrong with them is told now, not when the first have run.
        make_plan([on_its_own(one) for one, _ in later], materials)
    if plan.dry_run:
        from sweeps.dry_run import show_plan

        show_plan(plan, following=len(later))
        return
    from sweeps.quiet import quiet_libraries
    from sweeps.run_plan import run_plan

    quiet_libraries()
    if run_plan(plan, make_engine()).failed:
        raise CellsFailed
    if later:
        cells = [make_plan([followed], materials).experiments[0].cell.id for _, followed in later]
        then = [following(one, plan.sweep_folder / cell) for (one, _), cell in zip(later, cells, strict=True)]
        if run_plan(make_plan([*first, *then], materials), make_engine()).failed:
            raise CellsFailed


def _compose_and_run() -> None:
    """Lets Hydra compose; runs a single cell once Hydra is done, which would report its errors in its own way."""
    single: list[DictConfig] = []

    def keep(config: DictConfig) -> None:
        # A sweep's configs carry their overrides; a single one's are known only while Hydra calls this.
        with open_dict(config):
            config.hydra = {"overrides": {"task": list(HydraConfig.get().overrides.task)}}
        single.append(config)

    hydra_main(version_base="1.3", config_path="pkg://conf", config_name="config")(keep)()
    if single:
        from sweeps.composition import Composed
        from sweeps.engines import local_engine

        run_composed([Composed.of(config) for config in single], lambda: local_engine(0, 1))


def completed(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra wants them: flags first, overrides together, implied groups added.

    `model=local` is added where `model.path=` stands without `model=`, and the like; a separator is quoted, since a
    bare comma means something else to Hydra.
    """
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    flags = [argument for argument in arguments if argument not in overrides]
    overrides = [_SEPARATOR.sub(r"\1'\2'", override) for override in overrides]
    given = {override.split("=", 1)[0] for override in overrides}
    implied = [f"{group}={option}" for key, (group, option) in IMPLIED.items() if key in given and group not in given]
    return [*flags, *overrides, *implied]


def main() -> None:
    """Runs the app; exits with 1 and one line on an error, with a traceback only under HYDRA_FULL_ERROR=1."""
    # Threads that spin while they wait make small products many times slower as soon as anything else wants the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Bars go when they are done, also those of libraries: what stays on the screen is one line a cell.
    os.environ.setdefault("TQDM_LEAVE", "")
    import_packages_only()
    resolvers.register()
    sys.argv[1:] = completed(sys.argv[1:])
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra prints and exits by itself unless told to let errors through.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _guarded(_compose_and_run, full_error)
    finally:
        if not full_error:
            del os.environ["HYDRA_FULL_ERROR"]


def _guarded(app: Callable[[], None], full_error: bool) -> None:
    try:
        app()
    except CellsFailed:
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped: the cell in flight is dropped, all else is kept; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except (InputError, HydraException, OmegaConfBaseException) as error:
        if full_error:
            raise
        print(f"surgery: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


def one_line(error: Exception) -> str:
    """An error of ours or of Hydra's as one sentence that says what would be right."""
    if isinstance(error, InputError):
        return " ".join(str(error).split())
    if isinstance(error, MissingConfigException):
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return f"'{error.override}' can't be read; write KEY=VALUE, lists as [a,b], and quote what holds spaces"
    text = str(error)
    if match := re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", text):
        return _unknown(match[1])
    return " ".join(text.split())


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    if not options:
        return _unknown(group)
    from difflib import get_close_matches

    near = get_close_matches(option, options, n=1, cutoff=0.5)
    hint = f"did you mean {group}={near[0]}? " if near else ""
    return f"{group}={option} is unknown; {hint}there are {', '.join(options)}"


def _unknown(key: str) -> str:
    """Looks the key up among those of the default config."""
    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        # Which keys a launcher or a sweeper has depends on which it is.
        plugins = [argument for argument in sys.argv[1:] if argument.startswith("hydra/")]
        node = compose("config", plugins, return_hydra_config=key.startswith("hydra."))
    *parents, last = key.split(".")
    prefix = ""
    for parent in parents:
        if not isinstance(node.get(parent, None), DictConfig):
            return str(unknown_key(parent, [str(name) for name in node], prefix))
        node, prefix = node[parent], f"{prefix}{parent}."
    with_groups = [str(name) for name in node] + (["experiment"] if not prefix else [])
    return str(unknown_key(last, with_groups, prefix))
