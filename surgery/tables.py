"""Tables as people have them: a file here, or files of a dataset on the hub."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from surgery.errors import InputError
from surgery.hub import HubFiles, on_the_hub

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def read_table(
    path: str | Path, key: str, *, header: bool = True, names: Sequence[str] = (), where_else: str = ""
) -> pd.DataFrame:
    """One table, rows in the order of the file, or of the files by name.

    Args:
        path: a file, or `hf://datasets/OWNER/NAME@REVISION/PATTERN`; a `.json` file holds a list of objects.
        key: what the path was given as, for errors: `behavior.path`, say.
        header: whether the first line of a `.csv` or `.tsv` names the columns; without, they are numbers from 0.
        names: of the columns, for a `.csv` or `.tsv` whose first line names none of them.
        where_else: where the table can be had, for errors.

    Raises:
        InputError: when it is missing, can't be fetched, is empty, not UTF-8, or unreadable.
    """
    if on_the_hub(path):
        files = HubFiles.parse(str(path), key).fetch(key, where_else)
        parts = [_read(file, key, header, names) for file in files]
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    path = Path(path).expanduser()
    if not path.is_file():
        hint = f"; {where_else}" if where_else else ""
        raise InputError(f"{key} '{path}' is not there; give a {', '.join(FORMATS)} file{hint}")
    return _read(path, key, header, names)


def _read(path: Path, key: str, header: bool, names: Sequence[str]) -> pd.DataFrame:
    if path.suffix not in FORMATS:
        raise InputError(f"{key} '{path}' is of an unknown kind; it is one of {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise InputError(f"{key} '{path}' is empty")
    try:
        table = _parsed(path, header)
        if names and header and path.suffix in (".csv", ".tsv") and not set(names) & set(table.columns):
            table = _parsed(path, header=False)
            table = table.rename(columns=dict(enumerate(names)))
    except UnicodeDecodeError as error:
        raise InputError(f"{key} '{path}' is not UTF-8 ({error.reason} at byte {error.start})") from None
    except (ValueError, OSError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{key} '{path}' can't be read as {path.suffix[1:]}: {reason}") from None
    if table.empty:
        raise InputError(f"{key} '{path}' holds no rows")
    return table


def _parsed(path: Path, header: bool) -> pd.DataFrame:
    first_row = 0 if header else None
    if path.suffix == ".csv":
        return pd.read_csv(path, header=first_row, dtype=str, encoding="utf-8", keep_default_na=False)
    if path.suffix == ".tsv":
        # In tab-separated files a quotation mark is a character like any other.
        return pd.read_csv(
            path, sep="\t", header=first_row, dtype=str, encoding="utf-8", keep_default_na=False, quoting=3
        )
    if path.suffix in (".json", ".jsonl"):
        return pd.read_json(path, lines=path.suffix == ".jsonl", dtype=False, encoding="utf-8")
    return pd.read_parquet(path)


def column(table: pd.DataFrame, name: str | int, key: str, path: object) -> list[Any]:
    """A column's values; raises InputError when there is no such column, naming those there are."""
    if name not in table.columns:
        columns = ", ".join(str(column) for column in table.columns)
        raise InputError(f"{key}={name} is no column of '{path}'; its columns are {columns}")
    values: list[Any] = table[name].tolist()
    return values


def rows_where(table: pd.DataFrame, where: Mapping[str, Any], key: str, path: object) -> pd.DataFrame:
    """The rows whose columns hold the given value, or one of the given list.

    Raises:
        InputError: when there is no such column, or no such row (names the values there are).
    """
    for name, wanted in where.items():
        words = {as_word(value) for value in (wanted if isinstance(wanted, Sequence | set) else [wanted])}
        if isinstance(wanted, str):
            words = {as_word(wanted)}
        found = [as_word(value) for value in column(table, name, key, path)]
        kept = table[[value in words for value in found]]
        if kept.empty:
            there = ", ".join(sorted(set(found))[:8])
            raise InputError(f"{key} {name}={wanted} matches no row of '{path}'; its values there are {there}")
        table = kept
    return table


def as_word(value: object) -> str:
    """Values compare as words, so that 1, 1.0, true and '1' are the same."""
    if isinstance(value, str):
        # A CSV says True where parquet holds a truth value.
        return {"true": "1", "false": "0"}.get(value.strip().lower(), value.strip())
    if hasattr(value, "item"):  # numpy's own numbers
        value = value.item()
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
