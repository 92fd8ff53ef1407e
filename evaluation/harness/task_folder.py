"""A folder of lm-eval tasks, read without running anything that is in it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evaluation.inputs.named_files import file_digest, folder_digests, read_text
from surgery.errors import InputError

_WHAT = "the task file"
_LOCAL_FORMATS = ("json", "csv", "parquet", "text")


@dataclass(frozen=True)
class TaskFolder:
    """What a folder's YAML says.

    Attributes:
        tasks: names of the tasks, sorted.
        groups: names of groups and tags, sorted.
        runs_code: the first file that names Python to be run (`!function`), if any.
        data_files: local files that tasks name outside their YAML.
        digests: {path within the folder: SHA-256} of all its files, wherever the folder lies. Of a task that includes
            files from outside it, or names its data, it is of what all of them say and not of where they are.
    """

    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    runs_code: Path | None
    data_files: tuple[Path, ...]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class _TaskFile:
    """A YAML with what it includes.

    Attributes:
        config: as lm-eval merges them.
        included: the other files.
        runs_code: the first file among them that names Python to be run, if any.
        code: that Python, where it is a file beside them.
    """

    config: dict[str, Any]
    included: tuple[Path, ...]
    runs_code: Path | None
    code: tuple[Path, ...]


# A loader of its own, that reads `!function name` as the name.
_Loader: Any = type("_Loader", (yaml.SafeLoader,), {})
_Loader.add_constructor("!function", lambda loader, node: str(loader.construct_scalar(node)))


def read_task_folder(folder: str | Path) -> TaskFolder:
    """Reads every `.yaml` below the folder, and what they include.

    Raises:
        InputError: when the folder is missing or holds no task, a file is no YAML (says the line), an include or a
            data file isn't there, or two files give one task.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"the task folder '{folder}' is not there; give a folder of lm-eval YAML files")
    homes: dict[str, Path] = {}
    groups: set[str] = set()
    data_files: list[Path] = []
    runs_code: Path | None = None
    digests, home = folder_digests(folder), folder.resolve()
    for path in sorted(folder.rglob("*.yaml")):
        file = _read(path, ())
        config, data = file.config, []
        runs_code = runs_code or file.runs_code
        tags = config.get("tag") or []
        groups.update([tags] if isinstance(tags, str) else tags)
        name = config.get("task")
        if "group" in config:
            groups.add(str(config["group"]))
        elif isinstance(name, str):
            if name in homes:
                raise InputError(f"the task '{name}' is in '{homes[name]}' and in '{path}'; give one another name")
            homes[name] = path
            data = _data_files(name, config)
            data_files += data
        if data or any(home not in one.resolve().parents for one in file.included):
            digests[path.relative_to(folder).as_posix()] = _digest(file, data)
    if not homes:
        raise InputError(f"the task folder '{folder}' holds no task; each needs a .yaml file with 'task: NAME'")
    return TaskFolder(tuple(sorted(homes)), tuple(sorted(groups)), runs_code, tuple(data_files), digests)


def _read(path: Path, within: tuple[Path, ...]) -> _TaskFile:
    text = read_text(path, _WHAT)
    try:
        functions = [
            str(getattr(event, "value", "")) for event in yaml.parse(text) if getattr(event, "tag", None) == "!function"
        ]
        config = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "it can't be parsed"
        raise InputError(f"{_WHAT} '{path}' is not YAML{place}: {reason}") from None
    if not isinstance(config, dict):
        raise InputError(f"{_WHAT} '{path}' holds no 'key: value' lines; an lm-eval task needs them")
    modules = {path.parent / f"{name.rpartition('.')[0].replace('.', '/')}.py" for name in functions}
    runs_code = path if functions else None
    code = [module for module in sorted(modules) if module.is_file()]
    merged: dict[str, Any] = {}
    included: list[Path] = []
    for one in _included(path, config.pop("include", None)):
        if one in within or one == path:
            raise InputError(f"{_WHAT} '{path}' includes itself, by way of '{one}'")
        below = _read(one, (*within, path))
        merged |= below.config
        included += [one, *below.included]
        runs_code = runs_code or below.runs_code
        code += below.code
    return _TaskFile(merged | config, tuple(included), runs_code, tuple(code))


def _digest(file: _TaskFile, data: list[Path]) -> str:
    """SHA-256 of what a task says, with files' contents in place of their paths."""

    def content(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {split: content(one) for split, one in entry.items()}
        if isinstance(entry, list):
            return [content(one) for one in entry]
        return file_digest(entry) if Path(entry) in data else entry

    said = file.config | {"code": [file_digest(path) for path in file.code]}
    if data:
        options = said["dataset_kwargs"]
        said["dataset_kwargs"] = options | {"data_files": content(options["data_files"])}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _included(path: Path, include: str | list[str] | None) -> Iterator[Path]:
    for name in [include] if isinstance(include, str) else include or []:
        yield path.parent / name


def _data_files(task: str, config: dict[str, Any]) -> list[Path]:
    """Files of a task whose data are local."""
    named = (config.get("dataset_kwargs") or {}).get("data_files")
    if config.get("dataset_path") not in _LOCAL_FORMATS or named is None:
        return []
    listed = list(named.values()) if isinstance(named, dict) else [named]
    paths = [path for entry in listed for path in (entry if isinstance(entry, list) else [entry])]
    local = [Path(path) for path in paths if "://" not in path and "*" not in path]
    for path in local:
        if not path.is_file():
            raise InputError(
                f"the data file '{path}' of the task '{task}' is not there; lm-eval reads it from '{Path.cwd()}'"
            )
    return local
