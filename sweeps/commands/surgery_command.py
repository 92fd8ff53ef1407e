"""The `surgery` command: a Hydra app whose errors are one line."""

import os
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hydra import main as hydra_main
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from surgery.errors import InputError
from sweeps.commands.cells_failed import CellsFailed
from sweeps.config import resolvers
from sweeps.config.chosen_config import ChosenConfig, shipped_options
from sweeps.config.command_line import completed, config_dir, parted, parted_names, require_known, without_names
from sweeps.config.composition import Composed
from sweeps.config.config_files import file_in, place_of, read_config_files
from sweeps.config.model_and_behavior import require_both_halves
from sweeps.config.read_settings import KeyIsWrong
from sweeps.executors.import_path import import_packages_only
from sweeps.help.help_page import help_page
from sweeps.short_path.named_model import model_key
from sweeps.terminal.output import speak_plainly

if TYPE_CHECKING:
    from sweeps.config.composition import Composed


def _compose_and_run() -> None:
    """Lets Hydra compose; runs a single cell once Hydra is done, which would report its errors in its own way."""
    flags, names = parted_names(parted(sys.argv[1:])[0])
    if "--version" in flags:
        print(f"llm-surgery {version('llm-surgery')}")
        return
    if not {"--shell-completion", "-sc"}.isdisjoint(flags) and (line := os.environ.get("COMP_LINE")):
        os.environ["COMP_LINE"] = without_names(line)
    if not {"--help", "-h"}.isdisjoint(flags):
        print(help_page(sys.argv[1:]))
        return
    if names:
        require_known(flags)
        model_key(names[0], config_dir(flags))
        from sweeps.short_path.short_command import short_command  # torch and detoxify take seconds to import

        if (arguments := short_command(sys.argv[1:])) is None:
            return
        sys.argv[1:] = arguments
    sys.argv[1:] = completed(sys.argv[1:])
    single: list[tuple[DictConfig, list[str], Any, str]] = []

    def keep(config: DictConfig) -> None:
        # Known only while Hydra calls this; a ${...} in one of them is not to be filled in.
        hydra = HydraConfig.get()
        given: Any = OmegaConf.to_container(hydra.overrides, resolve=False)
        single.append((config, given["task"], GlobalHydra.instance().config_loader(), str(hydra.job.config_name)))

    hydra_main(version_base="1.3", config_path="pkg://conf", config_name="config")(keep)()
    if single:
        [(config, overrides, loader, config_name)] = single
        one = Composed.of(config, overrides)
        require_both_halves(one.values, overrides, overrides, loader, config_name)
        from sweeps.commands.run_composed import run_here  # what --help has no use for takes a second to import

        run_here(one)


def main() -> None:
    """Runs the app; exits with 1 and one line on an error, with a traceback only under HYDRA_FULL_ERROR=1."""
    # Threads that spin while they wait make small products many times slower as soon as anything else wants the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Bars go when they are done, also those of libraries: what stays on the screen is one line a cell.
    os.environ.setdefault("TQDM_LEAVE", "")
    import_packages_only()
    speak_plainly()
    resolvers.register()
    read_config_files()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra prints and exits by itself unless told to let errors through.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        _guarded(_compose_and_run, full_error)
    finally:
        if not full_error:
            del os.environ["HYDRA_FULL_ERROR"]


def _of_pythons_kind(error: Exception) -> str | None:
    """The sentence for what pathlib raises for ~NAME and Hydra for GROUP=null, which have no kind of their own."""
    if type(error) is RuntimeError and "home directory" in str(error):
        return "a path begins with ~NAME, and there is no user of that name; write the whole path"
    if type(error) is ValueError and str(error).startswith("Config group override must be"):
        return _no_name()
    return None


def _guarded(app: Callable[[], None], full_error: bool) -> None:
    try:
        app()
    except CellsFailed:
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped: the running cell is dropped, all else is kept; the same command goes on", file=sys.stderr)
        sys.exit(130)
    except (InputError, HydraException, OmegaConfBaseException, RuntimeError, ValueError) as error:
        said = _of_pythons_kind(error)
        if full_error or not (said or isinstance(error, InputError | HydraException | OmegaConfBaseException)):
            raise
        print(f"surgery: {said or _one_line(error)}", file=sys.stderr)
        sys.exit(1)


def _one_line(error: Exception) -> str:
    """An error of ours or of Hydra's as one sentence that says what would be right."""
    if isinstance(error, HydraException | OmegaConfBaseException) and (place := file_in(str(error))):
        # What a file's defaults ask for; Hydra adds the folders it looked in.
        return f"{place}: {' '.join(re.sub(r'^In [^:]*: ', '', str(error)).partition('Config search path')[0].split())}"
    if isinstance(error, MissingConfigException) and error.options:
        error = _unknown_option(error)
    elif match := re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", str(error)):
        error = _explained(match[1])
    if isinstance(error, OverrideParseException) and "=" not in str(error.override):
        return (
            f"'{error.override}' is no KEY=VALUE: keys are set as alpha=2, options chosen as model=NAME, and quotation "
            "marks stand around what holds spaces, 'KEY=a value'"
        )
    if isinstance(error, OverrideParseException):
        return (
            f"'{error.override}' can't be read; write KEY=VALUE, lists as [a,b], and quote a text that begins like "
            "one of these: KEY=\\'TEXT\\'"
        )
    if match := re.search(r"Ambiguous value for argument '(.*)'$", str(error), re.MULTILINE):
        # What Hydra finds wrong while it looks whether an experiment asks for a sweep, it keeps to itself.
        if said := _wrong_beside(match[1]):
            return said
        return f"'{match[1]}' has several values; add -m to sweep over them, or write KEY=[a,b] for a list"
    place = place_of(error.key) if isinstance(error, KeyIsWrong) and not _is_given(error.key) else None
    return " ".join(str(error).split()) + (f" ({place})" if place else "")


def _wrong_beside(several: str) -> str | None:
    """What is wrong with the other arguments of a command, where anything is."""
    flags, overrides = parted(sys.argv[1:])
    try:
        ChosenConfig([one for one in overrides if one != several], config_dir(flags)).first_cell()
    except (InputError, HydraException, OmegaConfBaseException) as error:
        return _one_line(error)
    return None


def _unknown_option(error: MissingConfigException) -> InputError:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    from difflib import get_close_matches

    # Of a folder in a group Hydra's error lists what lies beside it, and not in it.
    options = (shipped_options(group) if "/" in group else []) or list(error.options or [])
    near = get_close_matches(option, options, n=1, cutoff=0.5)
    hint = f"did you mean {group}={near[0]}? " if near else ""
    return InputError(f"{group}={option} is unknown; {hint}there are {', '.join(options)}")


def _no_name() -> str:
    """Of a group that is set to null, a number or the like, what would be right."""
    for argument in parted(sys.argv[1:])[1]:
        group, _, given = argument.partition("=")
        strange = [value for value in given.split(",") if not re.match(r"(?!(null|true|false)$)[A-Za-z_]", value, re.I)]
        if strange and (options := shipped_options(group)):
            return (
                f"{group}={strange[0]}: what {group} is set to is a name, one of {', '.join(options)}; leave {group}= "
                "out for what is chosen without it"
            )
    return "a file of --config-dir sets a group of settings to what is no name; write the name of one of its files"


def _explained(key: str) -> InputError:
    """What would be right in place of a key, in the config that the command chose."""
    flags, overrides = parted(sys.argv[1:])
    return ChosenConfig(overrides, config_dir(flags)).explain(key)


def _is_given(key: str) -> bool:
    """Whether the command line sets a key, whatever a file says."""
    return any(argument.split("=", 1)[0].lstrip("+") == key for argument in sys.argv[1:])
