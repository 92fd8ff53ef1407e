"""What config files say of their keys, in the comments that stand beside them."""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

import yaml

_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)", re.MULTILINE)
_COMMENT = re.compile(r"\s*#\s*(.*?)\s*$")


def key_comments(choices: Mapping[str, str | None], config_dir: str | None = None) -> dict[str, str]:
    """{key: its comment}; of a key that several files comment on, that of the last.

    Args:
        choices: of each group, as Hydra has them; groups of Hydra's own are passed over.
        config_dir: a person's folder of config files.
    """
    roots = [files("conf"), *([Path(config_dir)] if config_dir else [])]
    comments = _comments((files("conf") / "config.yaml").read_text(encoding="utf-8"), "")
    for group, option in choices.items():
        place = next((file for root in roots if (file := root / group / f"{option}.yaml").is_file()), None)
        if option is not None and place is not None:
            text = place.read_text(encoding="utf-8")
            named = _PACKAGE.search(text)
            prefix = named[1] if named else group.replace("/", ".")
            comments |= _comments(text, "" if prefix == "_global_" else prefix)
    return comments


def _comments(text: str, prefix: str) -> dict[str, str]:
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return dict(_beside(node, text.splitlines(), prefix)) if isinstance(node, yaml.MappingNode) else {}


def _beside(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterable[tuple[str, str]]:
    for key, value in node.value:
        name = f"{prefix}.{key.value}".strip(".")
        block = value.start_mark.line > key.start_mark.line
        # What is written in a block has its comment beside the key, all else at its own end.
        end = key.end_mark if block else value.end_mark
        rest = lines[end.line][end.column :].removeprefix(":") if end.line < len(lines) else ""
        if match := _COMMENT.fullmatch(rest):
            yield name, match[1]
        if isinstance(value, yaml.MappingNode):
            yield from _beside(value, lines, name)
