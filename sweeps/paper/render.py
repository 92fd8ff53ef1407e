"""A table of the paper beside ours, as cells of text, CSV and LaTeX."""

import csv
from collections.abc import Mapping
from io import StringIO

from sweeps.paper.table import Column, PaperTable
from sweeps.records.metric import Of
from sweeps.records.record import Record
from sweeps.terminal.latex_text import escaped, tabular


def value(column: Column, record: Record | None, of: Of = "edited") -> float | None:
    """A record's number in the paper's unit; None where there is none."""
    metric = column.of(record.metrics) if record else None
    found = metric.value(of) if metric else None
    return None if found is None else found * (100 if column.percent else 1)


def bounds(column: Column, record: Record | None) -> tuple[float, float] | None:
    """The 95 % interval of the change from the base, in the paper's unit."""
    metric = column.of(record.metrics) if record else None
    if metric is None or metric.interval is None:
        return None
    low, high = metric.interval
    return low * (100 if column.percent else 1), high * (100 if column.percent else 1)


def _measured_columns(table: PaperTable, rows: Mapping[str, Record]) -> list[int]:
    """The columns that a cell of ours has a number for."""
    return [i for i, column in enumerate(table.columns) if any(column.of(r.metrics) for r in rows.values())]


def lines(
    table: PaperTable, rows: Mapping[str, Record], said: Mapping[str, str] | None = None
) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the table for a person: `ours (paper)`, and the change from the base with its interval.

    Args:
        said: a continuation by row, as a last column.
    """
    columns = _measured_columns(table, rows)
    heads = [table.name, *(f"{table.columns[i].name}: ours (paper)" for i in columns)]
    found = []
    for row in table.rows:
        record = table.record(row, rows)
        line = [row.name]
        for i in columns:
            column, theirs = table.columns[i], row.values[i]
            ours = value(column, record, "base" if row.is_base else "edited")
            text = f"{_number(ours)} ({_number(theirs)})"
            interval = None if row.is_base else bounds(column, record)
            if interval and ours is not None:
                change = value(column, record, "delta")
                text += f"  {change:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}]"
            absent = "not run" if row.where or row.base_of else "quoted"
            line.append(text if record else f"{absent} ({_number(theirs)})")
        found.append(line if said is None else [*line, said.get(row.name, "")])
    return heads if said is None else [*heads, "continuation"], found


def _number(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


def as_csv(table: PaperTable, rows: Mapping[str, Record], said: Mapping[str, str] | None = None) -> str:
    """Each row of the table: for each column ours, change, interval and the paper's figure; `said` as in `lines`."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    parts = ("", "/delta", "/ci_low", "/ci_high", "/paper")
    writer.writerow(
        ["row", "cell", *(f"{column.name}{part}" for column in table.columns for part in parts), *_last(said)]
    )
    for row in table.rows:
        record = table.record(row, rows)
        line: list[object] = [row.name, record.cell if record and not row.is_base else ""]
        for column, theirs in zip(table.columns, row.values, strict=True):
            interval = None if row.is_base else bounds(column, record)
            line += [
                value(column, record, "base" if row.is_base else "edited"),
                None if row.is_base else value(column, record, "delta"),
                *(interval or (None, None)),
                theirs,
            ]
        writer.writerow(line if said is None else [*line, said.get(row.name, "")])
    return text.getvalue()


def _last(said: Mapping[str, str] | None) -> list[str]:
    return [] if said is None else ["continuation"]


def as_latex(table: PaperTable, rows: Mapping[str, Record], said: Mapping[str, str] | None = None) -> str:
    """A `tabular` with booktabs: ours, and the paper's figures in brackets; `said` as in `lines`."""
    columns = _measured_columns(table, rows)
    heads = " & ".join(["", *(escaped(table.columns[i].name) for i in columns), *_last(said)])
    body = []
    for row in table.rows:
        record = table.record(row, rows)
        cells = [escaped(row.name)]
        for i in columns:
            ours = value(table.columns[i], record, "base" if row.is_base else "edited")
            cells.append(f"{_latex_number(ours)} ({_latex_number(row.values[i])})")
        cells += [] if said is None else [escaped(said.get(row.name, ""))]
        body.append(" & ".join(cells) + r" \\")
    width = "l" + "r" * len(columns) + ("" if said is None else "p{0.5\\linewidth}")
    return tabular(f"{table.name}, {table.title}: ours, and the paper's figures in brackets", width, heads, body)


def _latex_number(number: float | None) -> str:
    return "--" if number is None else f"{number:.2f}"
