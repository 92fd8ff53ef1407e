"""The comparison of methods as lines of text, as CSV and as LaTeX."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import groupby
from operator import itemgetter
from typing import Any

from sweeps.equal_price.told import SIGNIFICANT, AtPrice, MethodComparison
from sweeps.records.numbers import number
from sweeps.records.told_keys import setting_text
from sweeps.terminal.latex_text import escaped, tabular

NO_CELL = "no cell"
CANT_TELL = "can't tell"
LIKE_BASE, ABOVE_REFERENCE, BELOW_REFERENCE = "≈", "▲", "▽"


def overview(found: MethodComparison) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the values alone: a method each, its cells, and a column for each price."""
    return _values(found, found.rows)


def overviews(found: MethodComparison) -> list[tuple[list[str], list[list[str]]]]:
    """The same for narrow terminals: a table for each kind of price, and heads of two lines."""
    kinds = dict.fromkeys(row.price.name for row in found.rows)
    tables = (_values(found, [row for row in found.rows if row.price.name == kind]) for kind in kinds)
    return [([head.replace(" ", "\n", 1) for head in heads], body) for heads, body in tables]


def _values(found: MethodComparison, told: Sequence[AtPrice]) -> tuple[list[str], list[list[str]]]:
    rows = {(row.within, row.method): row for row in told}
    prices = list(dict.fromkeys(row.within for row in told))
    body = [["base", "", *[number(found.base)] * len(prices)]]
    for method, cells in found.cells.items():
        body.append([method, str(cells), *(_marked(rows[at, method]) for at in prices)])
    return [found.behavior, "cells", *prices], body


def _marked(row: AtPrice) -> str:
    if row.told is None:
        return NO_CELL
    signs = {"worse": ABOVE_REFERENCE, "better": BELOW_REFERENCE}
    like_base = LIKE_BASE if row.told.like_base else ""
    differs = signs.get(row.against.word, "") if row.against else ""
    return " ".join(filter(None, [number(row.told.value), like_base, differs]))


def lines(found: MethodComparison) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the table for a person: a price and a method each."""
    paid = [f"its {price.name}" for price in found.prices]
    heads = ["at most", "method", "setting", f"{found.behavior} (95 %)", "from the base", *paid]
    heads += [f"{found.reference} minus it (95 %)", "p, Holm", f"{found.reference} is"]
    return heads, [_line(row, found) for row in found.rows]


def stacked(found: MethodComparison) -> tuple[list[str], list[list[str]]]:
    """The same for narrow terminals, in four columns whose cells have several lines; a price has a line of its own."""
    heads, wide = lines(found)
    body = []
    for within, of_price in groupby(wide, key=itemgetter(0)):
        body += [[within, "", "", ""], *(_stacked(line) for line in of_price)]
    return _stacked(heads), body


def _stacked(line: list[str]) -> list[str]:
    _, method, setting, value, of_base, *paid, difference, p, word = line
    parts = [[method, setting], [value, of_base], paid, [difference, f"{p}: {word}" if p != word else p]]
    # What there is none of is one dash.
    return ["\n".join(dict.fromkeys(part)) for part in parts]


def _line(row: AtPrice, found: MethodComparison) -> list[str]:
    start = [row.within, row.method]
    if row.told is None:
        return [*start, NO_CELL, *["-"] * (len(found.prices) + 5)]
    told, against = row.told, row.against
    setting = setting_text(told.keys, told.keys) or "the one there is"
    value = f"{number(told.value)} ({number(told.low)} to {number(told.high)})"
    paid = [price.written(told.paid[price.name]) for price in found.prices]
    of_base = CANT_TELL if told.like_base else f"{number(told.value - found.base, signed=True)}"
    compared = ["-", "-", "-"]
    if against is not None:
        compared = [_difference(row), _p_value(against.adjusted), against.word]
    return [*start, setting, value, of_base, *paid, *compared]


def _difference(row: AtPrice) -> str:
    assert row.against is not None, "it was compared"
    low, high = number(row.against.low, signed=True), number(row.against.high, signed=True)
    return f"{number(row.against.difference, signed=True)} ({low} to {high})"


def _p_value(p: float) -> str:
    """A p-value to two digits, or to as many as show on which side of the limit it lies: 0.0504 and not 0.05."""
    told = (f"{p:.{digits}g}" for digits in range(2, 17))
    return next((text for text in told if (float(text) <= SIGNIFICANT) == (p <= SIGNIFICANT)), repr(p))


def explanation(found: MethodComparison) -> list[str]:
    """What the table means, in sentences."""
    best = "lowest" if found.lowest else "highest"
    told = [
        f"base: {found.behavior} {number(found.base)}; cells: "
        + ", ".join(f"{method} {count}" for method, count in found.cells.items()),
        f"each setting has the {best} {found.behavior} of its method's cells within the price, on the selection half; "
        "every number is of the report half, with a bootstrapped interval over prompts",
        f"'{CANT_TELL}' from the base, {LIKE_BASE}: the base's own value is in the interval",
        f"differences are paired on prompts; a method is better or worse where p is at most {SIGNIFICANT} after Holm's "
        f"correction for {found.comparisons} different comparisons; {ABOVE_REFERENCE} better than {found.reference}, "
        f"{BELOW_REFERENCE} worse, no sign: {CANT_TELL}",
    ]
    return [*told, *found.notes]


def as_csv(found: MethodComparison) -> str:
    """A line for each price and method, with every number unrounded."""
    text = StringIO(newline="")
    rows = [_columns(row, found) for row in found.rows]
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _columns(row: AtPrice, found: MethodComparison) -> Mapping[str, Any]:
    told, against = row.told, row.against
    return {
        "price": row.price.name,
        "at_most": row.level,
        "method": row.method,
        "cells": found.cells[row.method],
        "cell": "+".join(told.cells) if told else NO_CELL,
        "setting": setting_text(told.keys, told.keys) if told else "",
        "metric": found.behavior,
        "base": found.base,
        "value": told and told.value,
        "ci_low": told and told.low,
        "ci_high": told and told.high,
        "n": told and told.n,
        "like_base": told and told.like_base,
        **{f"paid/{price.name}": told and told.paid[price.name] for price in found.prices},
        "reference": found.reference,
        "difference": against and against.difference,
        "difference/ci_low": against and against.low,
        "difference/ci_high": against and against.high,
        "difference/p": against and against.p,
        "difference/p_holm": against and against.adjusted,
        "reference_is": against and against.word,
    }


def as_latex(found: MethodComparison) -> str:
    """A `tabular` with booktabs: value and interval, and the reference minus each method; † where it differs."""
    heads = " & ".join(
        ["at most", "method", escaped(found.behavior), escaped(f"{found.reference} minus it"), "$p$ (Holm)"]
    )
    body = []
    for row in found.rows:
        cells = [escaped(row.within), escaped(row.method)]
        if row.told is None:
            cells += [NO_CELL, "--", "--"]
        else:
            mark = "" if row.told.like_base else r"$^\dagger$"
            cells.append(f"{row.told.value:.3f} ({row.told.low:.3f}, {row.told.high:.3f}){mark}")
            against = row.against
            cells.append(
                f"${against.difference:+.3f}$ (${against.low:+.3f}$, ${against.high:+.3f}$)" if against else "--"
            )
            cells.append(_p_value(against.adjusted) if against else "--")
        body.append(" & ".join(cells) + r" \\")
    note = f"95 % intervals in brackets; dagger: the base's {found.base:.3f} is not in the interval"
    return tabular(note, "llrrr", heads, body)
