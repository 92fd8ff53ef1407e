"""Which W&B server is meant, and whether there is a key for it: the environment, W&B's settings files, netrc."""

import configparser
import netrc
import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from surgery.errors import InputError

# Three parts in base64 (a JWT), or 40 characters and more, perhaps after the prefix of a server of one's own.
_API_KEY = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+|(?:[^-\s]*-)?[\w-]{40,}", re.ASCII)


def filed_settings() -> Mapping[str, str]:
    """What `wandb disabled`, `wandb offline` and `wandb login` left in W&B's settings files, those of this folder last.

    Raises:
        InputError: for a file that can't be read.
    """
    home = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    # W&B writes below WANDB_DIR, and reads from here.
    places = [Path(place) / name for place in (os.environ.get("WANDB_DIR") or ".", ".") for name in ("wandb", ".wandb")]
    found: dict[str, str] = {}
    for path in (folder.expanduser() / "settings" for folder in (home, *places)):
        parser = configparser.ConfigParser()
        try:
            parser.read(path, encoding="utf-8")
            found |= dict(parser.items("default")) if parser.has_section("default") else {}
        except (configparser.Error, ValueError, OSError):
            # What is wrong in it is not told: it may hold a key.
            raise InputError(f"W&B's settings file '{path}' can't be read; fix it or remove it") from None
    return found


def server() -> str:
    """The address of the W&B server.

    Raises:
        InputError: when it is no address.
    """
    given = os.environ.get("WANDB_BASE_URL") or filed_settings().get("base_url") or "https://api.wandb.ai"
    try:
        parts = urlsplit(given)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        sound = False
    if not sound:
        raise InputError(f"WANDB_BASE_URL={given} is no address of a W&B server; write https://HOST")
    return given


def has_key() -> bool:
    """Whether `wandb login` left a key, or the environment holds one; found out without asking or a network.

    Raises:
        InputError: for a key that can't be one, and where it can't be told.
    """
    if token := os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        if not Path(token).expanduser().is_file():
            raise InputError(f"WANDB_IDENTITY_TOKEN_FILE={token} is no file; fix it, or say tracking.mode=offline")
        return True
    key, source = api_key()
    if key and not _API_KEY.fullmatch(key):
        raise InputError(
            f"the key in {source} is malformed: it has {len(key)} characters where a key has at least 40 letters and "
            "digits, and nothing around them; copy it anew ('wandb login'), or say tracking.mode=offline"
        )
    return bool(key)


def api_key() -> tuple[str, str]:
    """The configured key, as it was written, and where it was found; empty where there is none.

    Raises:
        InputError: when the place to look into can't be read.
    """
    if key := os.environ.get("WANDB_API_KEY", ""):
        return key, "WANDB_API_KEY"
    path = _netrc_path()
    try:
        found = netrc.netrc(str(path)).authenticators(urlsplit(server()).netloc) if path.exists() else None
    except (netrc.NetrcParseError, ValueError, OSError) as error:
        # Not the parser's own words, which may be the key.
        line = getattr(error, "lineno", None)
        raise InputError(
            f"'{path}' can't be read{f' (line {line})' if line else ''}, so no key can be looked up there; fix it, "
            "or say tracking.mode=offline"
        ) from None
    if found and found[2]:
        return found[2], f"'{path}'"
    return filed_settings().get("api_key", ""), "W&B's settings file"


def _netrc_path() -> Path:
    """As W&B looks for it."""
    if given := os.environ.get("NETRC"):
        return Path(given).expanduser()
    home = Path("~").expanduser()
    return next((path for name in (".netrc", "_netrc") if (path := home / name).exists()), home / ".netrc")


def without_key(text: str) -> str:
    """A text without the key that is configured, should somebody have put it there."""
    try:
        key, _ = api_key()
    except InputError:
        return text
    return text.replace(key, "***") if key.strip() else text
