"""A person's config files: what is wrong with one is told with its line, and texts in it stay as they are written."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from surgery.errors import InputError
from sweeps.config.key_types import TARGET, declared_type, items, parameters, values, written_as_text
from sweeps.config.read_settings import CELL_GROUPS
from sweeps.config.yaml_checks import TEXT, check_defaults, check_nodes, pairs, problem, shown_path, wrong

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
            return f"'{shown_path(file)}'" + (f", line {line}" if line else "")
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
            raise wrong(file, line, f"{error}; write # @package NAME, _global_ say") from None
        if strange := [name for name in header if name != "package"]:
            raise wrong(file, 1, f"# @{strange[0]} is unknown; the one line of this kind is # @package NAME")
        group = config_path.rpartition("/")[0].replace("/", ".")
        package = header["package"] or "_group_"
        prefix = "" if package == "_global_" else group if package == "_group_" else package
        # Without a line of its own, a part may be put elsewhere by who names it: - /parts@evaluation.part: OPTION.
        settles = header["package"] or group in ("experiment", "variant", "multirun")
        if settles and prefix and prefix.split(".")[0] not in ("hydra", *CELL_GROUPS, "tracking", "evaluation"):
            raise wrong(
                file,
                1,
                f"its keys would stand below '{prefix}', where none is known; begin with # @package _global_",
            )
        config = _config(text, file, prefix)
        _files[config_path] = (file, list(_default_lines(text)))
        return ConfigResult(config=config, path=f"{self.scheme()}://{self.path}", provider=self.provider, header=header)


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"'{shown_path(file)}' can't be read: {error.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise wrong(file, 1, "it is UTF-16; save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = content[error.start : error.start + 1].hex()
        raise wrong(file, line, f"the byte {found} is not UTF-8; save the file as UTF-8") from None


def _config(text: str, file: Path, prefix: str) -> Any:
    loader = None
    try:
        loader = get_yaml_loader()(text)
        node = loader.get_single_node()
        if node is None:
            return OmegaConf.create({})
        if not isinstance(node, yaml.MappingNode):
            kind = "a list" if isinstance(node, yaml.SequenceNode) else "one value"
            raise wrong(file, node.start_mark.line + 1, f"it is {kind}; write lines of KEY: VALUE")
        check_nodes(node, file, set())
        check_defaults(node, file)
        _keep_texts(node, prefix, file)
        _note_places(node, prefix, file)
        return OmegaConf.create(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        unclosed = "end of stream" in str(error.problem) and error.context_mark
        mark = error.context_mark if unclosed else error.problem_mark or error.context_mark
        raise wrong(file, (mark.line if mark else 0) + 1, problem(error)) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise wrong(file, line, f"the character {error.character:#x} has no place in a text") from None
    except RecursionError:
        raise wrong(file, 1, "it is nested too deep to be read") from None
    except OmegaConfBaseException as error:
        place = place_of(f"{prefix}.{error.full_key}".strip(".")) or f"'{shown_path(file)}'"
        raise InputError(f"{place}: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _default_lines(text: str) -> Iterator[tuple[str, int]]:
    """(word, line) of what the defaults list of a sound file names, options before groups."""
    node = yaml.compose(text, Loader=get_yaml_loader())
    for key, defaults in pairs(node):
        if key.value == "defaults":
            for item in defaults.value:
                words = [word for pair in pairs(item) for word in reversed(pair)] or [item]
                for word in words:
                    if isinstance(word.value, str):
                        yield word.value.split(" ")[-1].strip("/"), item.start_mark.line + 1


def _keep_texts(node: yaml.MappingNode, prefix: str, file: Path) -> None:
    """Gives what YAML takes for a number or a truth value the tag of a text where the key is one."""
    target = next((value.value for key, value in pairs(node) if key.value == TARGET), None)
    types: dict[str, Any] = {}
    for key, value in pairs(node):
        name = str(key.value)
        full = f"{prefix}.{name}".strip(".")
        annotation = declared_type(name) if prefix == PARAMS else declared_type(full)
        if annotation is None and target is not None and not _is_text(value):
            types = types or dict(parameters(target))
            annotation = types.get(name)
        if annotation is not None:
            _tag(value, annotation)
        if full in (*CELL_GROUPS, "tracking", "evaluation") and not isinstance(value, yaml.MappingNode):
            raise wrong(file, key.start_mark.line + 1, f"{full} is a group of keys; write them below it, indented")
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
    for key, value in pairs(node):
        full = f"{prefix}.{key.value}".strip(".")
        _places[full] = f"'{shown_path(file)}', line {key.start_mark.line + 1}"
        if isinstance(value, yaml.MappingNode):
            _note_places(value, full, file)
