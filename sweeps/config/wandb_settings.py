"""What the config, the environment and W&B's own files say of tracking, read and checked before the first cell.

W&B itself finds a fault in any of them only when it opens a run, with a log of its own; and it has more than one word
for most things.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from surgery.errors import InputError
from sweeps.config.wandb_key import filed_settings, has_key, server
from sweeps.config.wandb_names import require_entity, require_project, require_tags

Mode = Literal["online", "offline", "disabled"]
# W&B's words for its modes. `shared` is online too: it is about several processes that write to one run.
MODES: Mapping[str, Mode] = {
    "online": "online",
    "run": "online",
    "shared": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
# Of WANDB_DISABLED, which W&B's older versions and transformers know.
YES, NO = ("1", "true", "yes", "on", "y", "t"), ("", "0", "false", "no", "off", "n", "f")
KEYS = ("kind", "mode", "project", "entity", "tags")
# Read and checked here, or of no account; for all others W&B is asked, whose import takes a second.
_CHECKED = ("API_KEY", "BASE_URL", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "DIR", "DISABLED", "MODE", "SILENT")


def settled(tracking: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tracking as the cells will have it, wherever they run: checked, and `none` where W&B is switched off.

    Args:
        tracking: as the config has it.

    Raises:
        InputError: for whatever W&B would refuse later.
    """
    if unknown := [key for key in tracking if key not in KEYS]:
        raise InputError(
            f"tracking.{unknown[0]} is unknown; tracking has {', '.join(KEYS)}; W&B's own key belongs in no config, "
            "since that is recorded: run 'wandb login' or set WANDB_API_KEY"
        )
    if tracking.get("kind") == "none":
        return tracking
    if tracking.get("kind") != "wandb":
        raise InputError(f"tracking.kind={tracking.get('kind')} is unknown; choose tracking=wandb or tracking=none")
    asked = str(tracking.get("mode"))
    if wandb_mode(asked) == "disabled":
        return {**tracking, "kind": "none"}
    require_tags(tracking.get("tags"))
    require_project(tracking.get("project"), "tracking.project")
    require_entity(tracking.get("entity"), "tracking.entity")
    _require_environment(os.environ)
    # Whether there is a key is for each machine to find out that runs cells.
    return {**tracking, "mode": chosen_mode(asked, os.environ, filed_settings()) or "auto"}


def require_destination(project: str, entity: str, otherwise: str) -> None:
    """Checks what `sweeps` needs in order to send: that W&B is not switched off, a key, and names that it takes.

    Args:
        project, entity: as they were given; empty for those that the cells were logged for.
        otherwise: what else to do, for the error's end.

    Raises:
        InputError: when something is missing or malformed.
    """
    environment = {name: value for name, value in os.environ.items() if name in ("WANDB_MODE", "WANDB_DISABLED")}
    if chosen_mode("auto", environment, filed_settings()) == "disabled":
        raise InputError("W&B is switched off here (WANDB_MODE, WANDB_DISABLED or 'wandb disabled'); nothing is sent")
    require_project(project or None, "--project")
    require_entity(entity or None, "--entity")
    if not has_key():
        raise InputError(f"no key is configured; run 'wandb login' or set WANDB_API_KEY, {otherwise}")


def wandb_mode(asked: str) -> Mode:
    """The mode here: for `auto` online only where a key is configured; a key is never asked for.

    Raises:
        InputError: for an unknown or contradictory mode, `online` without a key, and a key that can't be one.
    """
    wished = chosen_mode(asked, os.environ, filed_settings())
    if wished in ("disabled", "offline"):
        return wished
    server()
    if has_key():
        return "online"
    if wished == "online":
        raise InputError(
            f"{'tracking.mode' if asked != 'auto' else 'WANDB_MODE'}=online, but no key is configured; "
            "run 'wandb login', or say tracking.mode=offline"
        )
    return "offline"


def chosen_mode(asked: str, environment: Mapping[str, str], filed: Mapping[str, str]) -> Mode | None:
    """The mode that somebody chose; None where it hangs on whether there is a key.

    Who switches W&B off, in whichever place, is not overruled from another one.

    Args:
        asked: `tracking.mode`.
        environment: its variables.
        filed: what W&B's settings files say.

    Raises:
        InputError: for a mode that W&B does not have, and where two places contradict each other.
    """
    wished = None if _word(asked) == "auto" else _mode("tracking.mode", asked, ("auto",))
    off = None
    if _is_yes("WANDB_DISABLED", environment.get("WANDB_DISABLED", "")):
        off = f"WANDB_DISABLED={environment['WANDB_DISABLED']}"
    mode: Mode | None = None
    if not off and _word(environment.get("WANDB_MODE", "")):
        mode = _mode("WANDB_MODE", environment["WANDB_MODE"])
        off = f"WANDB_MODE={environment['WANDB_MODE']}" if mode == "disabled" else None
    elif not off and _word(filed.get("mode", "")):
        # What `wandb enabled` leaves there is no wish to fail without a key.
        mode = None if (found := _mode("mode in W&B's settings file", filed["mode"])) == "online" else found
        off = "W&B's settings file (until 'wandb enabled')" if mode == "disabled" else None
    if not off:
        return wished or mode
    if wished in ("online", "offline"):
        raise InputError(f"tracking.mode={asked}, but {off} switches W&B off; take back one of them")
    return "disabled"


def _word(text: str) -> str:
    return text.strip().lower()


def _mode(source: str, given: str, more: Sequence[str] = ()) -> Mode:
    if _word(given) not in MODES:
        raise InputError(f"{source}={given} is unknown; it is one of {', '.join((*more, *MODES))}")
    return MODES[_word(given)]


def _is_yes(name: str, given: str) -> bool:
    if _word(given) not in (*YES, *NO):
        raise InputError(f"{name}={given} is neither yes nor no; write {name}=true, or unset it")
    return _word(given) in YES


def _require_environment(environment: Mapping[str, str]) -> None:
    """Lets W&B check the variables that are its own business."""
    server()
    asked = {
        name: value
        for name, value in environment.items()
        if name.startswith("WANDB_") and name.removeprefix("WANDB_") not in _CHECKED
    }
    if not asked:
        return
    require_project(environment.get("WANDB_PROJECT") or None, "WANDB_PROJECT")
    require_entity(environment.get("WANDB_ENTITY") or None, "WANDB_ENTITY")
    import wandb
    from pydantic import ValidationError

    for name, value in asked.items():
        try:
            wandb.Settings().update_from_env_vars({name: value})
        except ValidationError as error:
            # Without the value: it may be a secret.
            why = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise InputError(f"W&B can't read {name}: {' '.join(why.split())}; fix it or unset it") from None
        except (wandb.Error, ValueError, TypeError) as error:
            raise InputError(f"W&B can't read {name}: {' '.join(str(error).split())}; fix it or unset it") from None
