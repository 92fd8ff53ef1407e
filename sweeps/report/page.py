"""The page: one file, nothing fetched, and nothing that a model said can act in it."""

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sweeps.equal_price.methods_table import explanation, lines, overview
from sweeps.equal_price.told import MethodComparison
from sweeps.records.numbers import number
from sweeps.report.contents import Contents
from sweeps.report.page_charts import PageChart, page_charts
from sweeps.report.shared_parts import SharedParts

ONLY_DRAWN = ("possible", "paper", "cosines", "layers", "region", "seconds")


def page(contents: Contents, drawn: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report as HTML.

    Args:
        contents: what it tells.
        drawn: the paper's figures that were drawn of the sweep, (name, data URI).
    """
    environment = Environment(
        loader=PackageLoader("sweeps.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["number"] = lambda value, signed=False: _with_minus(number(value, signed))
    environment.filters["with_minus"] = _with_minus
    charts = page_charts(contents.values, contents.methods if isinstance(contents.methods, MethodComparison) else None)
    best = next((row for row in contents.values["rows"] if row["chosen"]), None)
    return environment.get_template("page.html.jinja").render(
        **contents.values,
        best=best,
        drawn=drawn,
        charted=[*charts],
        **_methods(contents.methods),
        data=as_json(_data(contents, charts)),
        plotly=Markup(_part("plotly", "package_data/plotly.min.js")),
        style=Markup(_part("sweeps.report", "page.css")),
        script=Markup(_part("sweeps.report", "page.js")),
    )


def _with_minus(text: str) -> str:
    """Signs of numbers as a page writes them, not as hyphens."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def _methods(found: MethodComparison | str | None) -> dict[str, Any]:
    """Their values; the heads and lines of the whole table, each line with the cell it tells of; what is said below."""
    if not isinstance(found, MethodComparison):
        return {"methods": None, "about_methods": [f"Methods are not compared: {found}."] if found else []}
    heads, body = lines(found)
    told = [row.told.cells[0] if row.told else None for row in found.rows]
    return {
        "overview": overview(found),
        "methods": (heads, list(zip(told, body, strict=True))),
        "about_methods": explanation(found),
    }


def _data(contents: Contents, charted: Mapping[str, PageChart]) -> dict[str, Any]:
    """What page.js reads: tables, texts, and charts; what only charts are made of is not said twice."""
    values, samples, shared = contents.values, contents.samples, SharedParts()
    charts = {place: shared.take(chart.as_json()) for place, chart in charted.items()}
    return {
        **{name: value for name, value in values.items() if name not in ONLY_DRAWN},
        "rows": [{name: value for name, value in row.items() if name not in ONLY_DRAWN} for row in values["rows"]],
        "charts": charts,
        "shared": shared.parts,
        "samples": {"measurements": samples.measurements, "cells": samples.cells, "left_out": samples.left_out},
    }


def as_json(data: Any) -> Markup:
    """JSON that can stand in a script element: no character of it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _part(package: str, path: str) -> str:
    return files(package).joinpath(path).read_text(encoding="utf-8")
