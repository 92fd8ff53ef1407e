"""A person's config files: what is wrong with one is told with its line, and texts in it stay as they are written."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse

from surgery.errors import InputError
from sweeps.config.key_types import TARGET, declared_type, items, parameters, values, written_as_text
from sweeps.config.read_settings import CELL_GROUPS

TEXT = "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"
PARAMS = "hydra.sweeper.params"

# Tags that YAML gives to what is written without quotation marks.
GUESSED = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null", "timestamp"))

# Where each key that a file sets stands; the last file to set it counts, as in the composition itself.
_places: dict[str, str] = {}
# By the name that Hydra has for a file: the file, and the lines of its defaults list.
_files: dict[str, tuple[Path, list[tuple[str, int]]]] = {}


def read_config_files() -> None:
    """Makes this process's Hydra read files (not what ships in packages) with `FileConfigSource` below."""
    _places.clear()
    _files.clear()
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource


def place_of(key: str) -> str | None:
    """`FILE, line N` where a file set a key, or what the key is a part of; None where none did."""
    path = key.split(".")
    return next((_places[one] for n in range(len(path), 0, -1) if (one := ".".join(path[:n])) in _places), None)


def file_in(message: str) -> str | None:
    """`FILE, line N` of the file whose name in Hydra a message holds; the line is that of its defaults list."""
    for name, (file, defaults) in _files.items():
        if re.search(rf"(?<![\w/]){re.escape(name)}(?![\w/])", message):
            told = message.replace(name, "")
            line = next((line for word, line in defaults if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", told)), None)
            return f"'{_shown(file)}'" + (f", line {line}" if line else "")
    return None


# Hydra knows a scheme's source by its name, so it has to be this one.
class FileConfigSource(file_config_source.FileConfigSource):
    """Files below a folder that was given with --config-dir."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Raises InputError with the file's name and line for whatever keeps it from being read."""
        file = Path(self.path) / self._normalize_file_name(config_path)
        text = _text(file)
        try:
            header = ConfigSource._get_header_dict(text)
        except ValueError as error:
            line = next(n for n, line in enumerate(text.splitlines(), 1) if re.match(r"\s*#\s*@", line))
            raise _wrong(file, line, f"{error}; write # @package NAME, _global_ say") from None
        if strange := [name for name in header if name != "package"]:
            raise _wrong(file, 1, f"# @{strange[0]} is unknown; the one line of this kind is # @package NAME")
        group = config_path.rpartition("/")[0].replace("/", ".")
        package = header["package"] or "_group_"
        prefix = "" if package == "_global_" else group if package == "_group_" else package
        # Without a line of its own, a part may be put elsewhere by who names it: - /parts@evaluation.part: OPTION.
        settles = header["package"] or group in ("experiment", "variant", "multirun")
        if settles and prefix and prefix.split(".")[0] not in ("hydra", *CELL_GROUPS, "tracking", "evaluation"):
            raise _wrong(
                file,
                1,
                f"its keys would stand below '{prefix}', where none is known; begin with # @package _global_",
            )
        config = _config(text, file, prefix)
        _files[config_path] = (file, list(_default_lines(text)))
        return ConfigResult(config=config, path=f"{self.scheme()}://{self.path}", provider=self.provider, header=header)


def _wrong(file: Path, line: int, what: str) -> InputError:
    return InputError(f"'{_shown(file)}', line {line}: {what}")


def _shown(file: Path) -> str:
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"'{_shown(file)}' can't be read: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _wrong(file, 1, "it is UTF-16; save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = content[error.start : error.start + 1].hex()
        raise _wrong(file, line, f"the byte {found} is not UTF-8; save the file as UTF-8") from None


def _config(text: str, file: Path, prefix: str) -> Any:
    loader = None
    try:
        loader = get_yaml_loader()(text)
        node = loader.get_single_node()
        if node is None:
            return OmegaConf.create({})
        if not isinstance(node, yaml.MappingNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "one value"
            raise _wrong(file, node.start_mark.line + 1, f"it is {kind}; write lines of KEY: VALUE")
        _check(node, file, set())
        _check_defaults(node, file)
        _keep_texts(node, prefix, file)
        _note_places(node, prefix, file)
        return OmegaConf.create(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        unclosed = "end of stream" in str(error.problem) and error.context_mark
        mark = error.context_mark if unclosed else error.problem_mark or error.context_mark
        raise _wrong(file, (mark.line if mark else 0) + 1, _problem(error)) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise _wrong(file, line, f"the character {error.character:#x} has no place in a text") from None
    except RecursionError:
        raise _wrong(file, 1, "it is nested too deep to be read") from None
    except OmegaConfBaseException as error:
        place = place_of(f"{prefix}.{error.full_key}".strip(".")) or f"'{_shown(file)}'"
        raise InputError(f"{place}: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or str(error)
    if "'\\t'" in problem or "\\t" in problem:
        return "a tab stands where YAML wants spaces; indent with spaces, and put spaces after a colon"
    if "constructor" in problem:
        return f"{problem}; write the value without a tag"
    if error.context and "could not find expected" not in problem:
        started = f" at line {error.context_mark.line + 1}" if error.context_mark else ""
        return f"{problem} ({error.context}{started})"
    return f"{problem}; quote a text that holds a colon, a bracket or a #"


def _pairs(node: yaml.Node) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _check(node: yaml.Node, file: Path, above: set[int]) -> None:
    """Doubled keys, keys that are no words, `${...}` that can't be read, and what holds itself."""
    line = node.start_mark.line + 1
    if id(node) in above:
        raise _wrong(file, line, "it holds itself; write out what the * stands for")
    within = above | {id(node)}
    if isinstance(node, yaml.ScalarNode) and "${" in node.value:
        try:
            parse(node.value)
        except OmegaConfBaseException as error:
            told = f"'{node.value}' can't be read ({str(error).splitlines()[0]})"
            raise _wrong(file, line, f"{told}; write ${{KEY}}, or \\${{ for a plain text") from None
    seen: dict[str, int] = {}
    for key, value in _pairs(node):
        at = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(file, at, "a key has to be a text; write KEY: VALUE")
        if key.tag == MERGE:
            continue
        key.tag = TEXT
        if key.value in seen:
            raise _wrong(file, at, f"'{key.value}' is given twice, first in line {seen[key.value]}; keep one of them")
        seen[key.value] = at
        _check(value, file, within)
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(value, file, within)


def _check_defaults(node: yaml.MappingNode, file: Path) -> None:
    """Hydra's own list of what a config is made of: its errors name no line."""
    defaults = next((value for key, value in _pairs(node) if key.value == "defaults"), None)
    if defaults is None:
        return
    how = "write a list, each line - OPTION, - GROUP: OPTION or - override /GROUP: OPTION"
    if not isinstance(defaults, yaml.SequenceNode):
        raise _wrong(file, defaults.start_mark.line + 1, f"defaults is no list; {how}")
    for item in defaults.value:
        line = item.start_mark.line + 1
        if isinstance(item, yaml.MappingNode):
            if len(item.value) != 1:
                raise _wrong(file, line, f"an item of defaults has {len(item.value)} keys; {how}")
            [(_, option)] = item.value
            options: Sequence[yaml.Node] = option.value if isinstance(option, yaml.SequenceNode) else [option]
            if all(isinstance(one, yaml.ScalarNode) for one in options):
                for one in options:
                    _make_text(one, keep_null=True)
                continue
        elif isinstance(item, yaml.ScalarNode) and item.value:
            _make_text(item, keep_null=False)
            continue
        raise _wrong(file, line, f"an item of defaults can't be read; {how}")


def _default_lines(text: str) -> Iterator[tuple[str, int]]:
    """(word, line) of what the defaults list of a sound file names, options before groups."""
    node = yaml.compose(text, Loader=get_yaml_loader())
    for key, defaults in _pairs(node):
        if key.value == "defaults":
            for item in defaults.value:
                words = [word for pair in _pairs(item) for word in reversed(pair)] or [item]
                for word in words:
                    if isinstance(word.value, str):
                        yield word.value.split(" ")[-1].strip("/"), item.start_mark.line + 1


def _make_text(node: yaml.Node, keep_null: bool) -> None:
    if not (keep_null and node.tag.endswith(":null")):
        node.tag = TEXT


def _keep_texts(node: yaml.MappingNode, prefix: str, file: Path) -> None:
    """Gives what YAML takes for a number or a truth value the tag of a text where the key is one."""
    target = next((value.value for key, value in _pairs(node) if key.value == TARGET), None)
    types: dict[str, Any] = {}
    for key, value in _pairs(node):
        name = str(key.value)
        full = f"{prefix}.{name}".strip(".")
        annotation = declared_type(name) if prefix == PARAMS else declared_type(full)
        if annotation is None and target is not None and not _is_text(value):
            types = types or dict(parameters(target))
            annotation = types.get(name)
        if annotation is not None:
            _tag(value, annotation)
        if full in (*CELL_GROUPS, "tracking", "evaluation") and not isinstance(value, yaml.MappingNode):
            raise _wrong(file, key.start_mark.line + 1, f"{full} is a group of keys; write them below it, indented")
        if isinstance(value, yaml.MappingNode):
            _keep_texts(value, full, file)


def _is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == TEXT


def _tag(node: yaml.Node, annotation: Any) -> None:
    if isinstance(node, yaml.ScalarNode):
        # What is not written at all is null, also where a text is wanted.
        if node.tag in GUESSED and node.value not in ("", "~") and written_as_text(node.value, annotation):
            node.tag = TEXT
    elif isinstance(node, yaml.SequenceNode):
        for one in node.value:
            _tag(one, items(annotation))
    elif isinstance(node, yaml.MappingNode):
        for _, one in node.value:
            _tag(one, values(annotation))


def _note_places(node: yaml.MappingNode, prefix: str, file: Path) -> None:
    for key, value in _pairs(node):
        full = f"{prefix}.{key.value}".strip(".")
        _places[full] = f"'{_shown(file)}', line {key.start_mark.line + 1}"
        if isinstance(value, yaml.MappingNode):
            _note_places(value, full, file)
