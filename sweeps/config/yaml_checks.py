"""What is wrong with a person's YAML, told with its line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse

from surgery.errors import InputError

TEXT = "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"


def wrong(file: Path, line: int, what: str) -> InputError:
    return InputError(f"'{shown_path(file)}', line {line}: {what}")


def shown_path(file: Path) -> str:
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def check_nodes(node: yaml.Node, file: Path, above: set[int]) -> None:
    """Doubled keys, keys that are no words, `${...}` that can't be read, and what holds itself."""
    line = node.start_mark.line + 1
    if id(node) in above:
        raise wrong(file, line, "it holds itself; write out what the * stands for")
    within = above | {id(node)}
    if isinstance(node, yaml.ScalarNode) and "${" in node.value:
        try:
            parse(node.value)
        except OmegaConfBaseException as error:
            told = f"'{node.value}' can't be read ({str(error).splitlines()[0]})"
            raise wrong(file, line, f"{told}; write ${{KEY}}, or \\${{ for a plain text") from None
    seen: dict[str, int] = {}
    for key, value in pairs(node):
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise wrong(file, at, "a key has to be a text; write KEY: VALUE")
        if key.tag == MERGE:
            continue
        key.tag = TEXT
        if key.value in seen:
            raise wrong(file, at, f"'{key.value}' is given twice, first in line {seen[key.value]}; keep one of them")
        seen[key.value] = at
        check_nodes(value, file, within)
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            check_nodes(value, file, within)


def check_defaults(node: yaml.MappingNode, file: Path) -> None:
    """Hydra's own list of what a config is made of: its errors name no line."""
    defaults = next((value for key, value in pairs(node) if key.value == "defaults"), None)
    if defaults is None:
        return
    how = "write a list, each line - OPTION, - GROUP: OPTION or - override /GROUP: OPTION"
    if not isinstance(defaults, yaml.SequenceNode):
        raise wrong(file, defaults.start_mark.line + 1, f"defaults is no list; {how}")
    for item in defaults.value:
        line = item.start_mark.line + 1
        if isinstance(item, yaml.MappingNode):
            if len(item.value) != 1:
                raise wrong(file, line, f"an item of defaults has {len(item.value)} keys; {how}")
            [(_, option)] = item.value
            options: Sequence[yaml.Node] = option.value if isinstance(option, yaml.SequenceNode) else [option]
            if all(isinstance(one, yaml.ScalarNode) for one in options):
                for one in options:
                    _make_text(one, keep_null=True)
                continue
        elif isinstance(item, yaml.ScalarNode) and item.value:
            _make_text(item, keep_null=False)
            continue
        raise wrong(file, line, f"an item of defaults can't be read; {how}")


def _make_text(node: yaml.Node, keep_null: bool) -> None:
    if not (keep_null and node.tag.endswith(":null")):
        node.tag = TEXT


def problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or str(error)
    if "'\\t'" in problem or "\\t" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces, and put spaces after a colon"
    if "constructor" in problem:
        return f"{problem}; write the value without a tag"
    if error.context and "could not find expected" not in problem:
        started = f" at line {error.context_mark.line + 1}" if error.context_mark else ""
        return f"{problem} ({error.context}{started})"
    return f"{problem}; quote a text that holds a colon, a bracket or a #"
