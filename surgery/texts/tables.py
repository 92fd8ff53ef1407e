"""Tables as people have them: a file here, or files of a dataset on the hub. The one reader of all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surgery.errors import InputError
from surgery.files.hub import HubFiles, on_the_hub
from surgery.files.text_file import Damaged, read_text, unreadable
from surgery.texts.json_rows import Object, json_lines, json_list
from surgery.texts.separated_values import separated_rows

FORMATS = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
SEPARATED = (".csv", ".tsv")

Name = str | int


@dataclass(frozen=True)
class Table:
    """Rows of a file, whole.

    Attributes:
        columns: the values of each, or what has them in its `to_pylist`; numbers from 0 where the file names none.
        places: where each row is, `line 3` in a file of text.
        what, path: which file it is, for errors.
    """

    columns: Mapping[Name, Any]
    places: Sequence[str]
    what: str
    path: object

    def __len__(self) -> int:
        return len(self.places)

    def column(self, name: Name, key: str = "") -> list[Any]:
        """A column's values.

        Args:
            key: that named the column, for errors.

        Raises:
            InputError: when there is no such column (names those there are), or it holds what is no text.
        """
        if name not in self.columns:
            columns = ", ".join(str(column) for column in self.columns)
            missing = f"{key}={name} is no column of '{self.path}'" if key else f"{self._file} has no column '{name}'"
            raise InputError(f"{missing}; its columns are {columns}")
        values = self.columns[name]
        return values if isinstance(values, list) else self._of_parquet(name, values)

    def _of_parquet(self, name: Name, values: Any) -> list[Any]:
        found: list[Any] = []
        for place, value in zip(self.places, values, strict=True):
            try:
                found.append(value.as_py())
            except UnicodeDecodeError:
                raise InputError(f"{self._file} is damaged in {place}: column '{name}' is not UTF-8") from None
            if reason := unreadable(found[-1]):
                raise InputError(f"{self._file} is damaged in {place}: column '{name}' holds {reason}")
        return found

    @property
    def _file(self) -> str:
        return f"{self.what} '{self.path}'"


def read_table(
    path: str | Path, what: str, *, header: bool = True, names: Sequence[str] = (), where_else: str = ""
) -> Table:
    """One table, rows in the order of the file, or of the files by name.

    Args:
        path: a file, or `hf://datasets/OWNER/NAME@REVISION/PATTERN`; a `.json` file holds a list of objects.
        what: it is, for errors: the key it was given as, say.
        header: whether the first line of a `.csv` or `.tsv` names the columns; without, they are numbers from 0.
        names: of the columns, for a `.csv` or `.tsv` whose first line names none of them.
        where_else: where the table can be had, for errors.

    Raises:
        InputError: when it is missing, can't be fetched, is empty, not UTF-8, of another format than its name says,
            or damaged (says the line).
    """
    if on_the_hub(path):
        files = HubFiles.parse(str(path), what).fetch(what, where_else)
        parts = [_read(file, what, header, names) for file in files]
        return parts[0] if len(parts) == 1 else _joined(parts, what, path)
    path = Path(path).expanduser()
    if not path.is_file():
        hint = f"; {where_else}" if where_else else ""
        raise InputError(f"{what} '{path}' is not there; give a {', '.join(FORMATS)} file{hint}")
    return _read(path, what, header, names)


def _read(path: Path, what: str, header: bool, names: Sequence[str]) -> Table:
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise InputError(f"{what} '{path}' is of an unknown kind; it is one of {', '.join(FORMATS)}")
    if path.stat().st_size == 0:
        raise InputError(f"{what} '{path}' is empty")
    try:
        if ending == ".parquet":
            columns, places = _parquet(path)
        elif ending in SEPARATED:
            columns, places = _separated(read_text(path, what), ending, header, names)
        else:
            text = read_text(path, what)
            columns, places = _of_objects(json_lines(text) if ending == ".jsonl" else json_list(text))
    except Damaged as damage:
        raise InputError(f"{what} '{path}' {damage}") from None
    if not places:
        raise InputError(f"{what} '{path}' holds no rows")
    return Table(columns, places, what, path)


def _separated(text: str, ending: str, header: bool, names: Sequence[str]) -> tuple[dict[Name, list[str]], list[str]]:
    rows = separated_rows(text, ending)
    first_line, first = rows[0]
    named: Sequence[Name] = first
    if not header or (names and not set(names) & set(first)):
        named = [*names, *range(len(names), len(first))] if header else range(len(first))
    else:
        rows = rows[1:]
        for name in first:
            if name and first.count(name) > 1:
                raise Damaged(f"names two columns '{name}' in line {first_line}")
    columns = {name: [row[place] for _, row in rows] for place, name in enumerate(named) if place < len(first)}
    return columns, [f"line {line}" for line, _ in rows]


def _of_objects(rows: Sequence[Object]) -> tuple[dict[Name, list[Any]], list[str]]:
    names = dict.fromkeys(name for _, row in rows for name in row)
    return {name: [row.get(name) for _, row in rows] for name in names}, [f"line {line}" for line, _ in rows]


def _parquet(path: Path) -> tuple[dict[Name, Any], list[str]]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        # Of the file alone: `read_table` would take folders called KEY=VALUE on its path for columns.
        table = ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise Damaged(f"can't be read as parquet: {' '.join(str(error).split())}") from None
    return dict(zip(table.column_names, table.columns, strict=True)), [f"row {i}" for i in range(1, len(table) + 1)]


def _joined(parts: Sequence[Table], what: str, path: object) -> Table:
    """Several files' rows after each other; what one of them lacks is nothing there."""
    names = dict.fromkeys(name for part in parts for name in part.columns)
    columns = {
        name: [value for part in parts for value in (part.column(name) if name in part.columns else [None] * len(part))]
        for name in names
    }
    places = [f"{place} of '{Path(str(part.path)).name}'" for part in parts for place in part.places]
    return Table(columns, places, what, path)
