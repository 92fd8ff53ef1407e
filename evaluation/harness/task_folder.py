"""A folder of lm-eval tasks, read without running anything that is in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evaluation.inputs.named_files import read_text
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
    """

    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    runs_code: Path | None
    data_files: tuple[Path, ...]


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
    for path in sorted(folder.rglob("*.yaml")):
        config, code = _merged(path, ())
        runs_code = runs_code or code
        tags = config.get("tag") or []
        groups.update([tags] if isinstance(tags, str) else tags)
        name = config.get("task")
        if "group" in config:
            groups.add(str(config["group"]))
        elif isinstance(name, str):
            if name in homes:
                raise InputError(f"the task '{name}' is in '{homes[name]}' and in '{path}'; give one another name")
            homes[name] = path
            data_files += _data_files(name, config)
    if not homes:
        raise InputError(f"the task folder '{folder}' holds no task; each needs a .yaml file with 'task: NAME'")
    return TaskFolder(tuple(sorted(homes)), tuple(sorted(groups)), runs_code, tuple(data_files))


def _merged(path: Path, within: tuple[Path, ...]) -> tuple[dict[str, Any], Path | None]:
    """The YAML with its includes, as lm-eval merges them; and a file among them that names code."""
    text = read_text(path, _WHAT)
    try:
        code = path if any(getattr(event, "tag", None) == "!function" for event in yaml.parse(text)) else None
        config = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "it can't be parsed"
        raise InputError(f"{_WHAT} '{path}' is not YAML{place}: {reason}") from None
    if not isinstance(config, dict):
        raise InputError(f"{_WHAT} '{path}' holds no 'key: value' lines; an lm-eval task needs them")
    merged: dict[str, Any] = {}
    for included in _included(path, config.pop("include", None)):
        if included in within or included == path:
            raise InputError(f"{_WHAT} '{path}' includes itself, by way of '{included}'")
        below, code_below = _merged(included, (*within, path))
        merged |= below
        code = code or code_below
    return merged | config, code


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
