"""What W&B takes for the name of a project, a user or a team, and for a tag."""

from collections.abc import Sequence
from typing import Any

from surgery.errors import InputError

# What W&B does not take in the name of a project.
FORBIDDEN = "/\\#?%:"
LONGEST_TAG = 64


def require_tags(tags: Any) -> list[str]:
    """The tags of a run, as the config gives them.

    Raises:
        InputError: when they are no list, or one is longer than W&B takes.
    """
    found = [] if tags is None else tags
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise InputError(f"tracking.tags={tags} is no list; write tracking.tags=[{tags}]")
    texts = [str(tag) for tag in found]
    for tag in texts:
        if not 1 <= len(tag) <= LONGEST_TAG:
            raise InputError(f"tracking.tags: '{tag}' has {len(tag)} characters; a tag has 1 to {LONGEST_TAG}")
    return texts


def require_project(project: Any, source: str) -> None:
    """Raises InputError for a name that W&B does not take for a project; None leaves it to W&B."""
    _require_name(project, source, "project", FORBIDDEN)


def require_entity(entity: Any, source: str) -> None:
    """Raises InputError for a name that no user or team can have; None is the key's own."""
    _require_name(entity, source, "user or team", FORBIDDEN + " ")


def _require_name(given: Any, source: str, kind: str, forbidden: str) -> None:
    if given is None:
        return
    name = str(given)
    wrong = sorted({char for char in name if char in forbidden or not char.isprintable()})
    if wrong:
        told = " ".join(repr(char) for char in wrong)
        raise InputError(f"{source}={name!r} can't name a {kind} in W&B: it holds {told}; leave that out")
    if not name.strip() or name != name.strip() or len(name) > 128:
        said = name if len(name) <= 128 else f"{name[:20]}…"
        raise InputError(
            f"{source}='{said}' can't name a {kind} in W&B: it has {len(name)} characters; write 1 to 128, with no "
            "space at either end"
        )
