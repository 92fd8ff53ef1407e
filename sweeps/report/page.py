"""The page: one file, nothing fetched, and nothing that a model said can act in it."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sweeps.report.contents import Contents
from sweeps.terminal.cell_tables import number


def page(contents: Contents, drawn: Sequence[tuple[str, str]] = ()) -> str:
    """The whole report as HTML.

    Args:
        contents: what it tells.
        drawn: the paper's figures that were drawn of the sweep, (name, data URI).
    """
    environment = Environment(
        loader=PackageLoader("sweeps.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["number"] = number
    samples = contents.samples
    data = {
        **contents.values,
        "samples": {"measurements": samples.measurements, "cells": samples.cells, "left_out": samples.left_out},
    }
    best = next((row for row in contents.values["rows"] if row["chosen"]), None)
    return environment.get_template("page.html.jinja").render(
        **contents.values,
        best=best,
        drawn=drawn,
        data=as_json(data),
        plotly=Markup(_part("plotly", "package_data/plotly.min.js")),
        style=Markup(_part("sweeps.report", "page.css")),
        script=Markup(_part("sweeps.report", "page.js")),
    )


def as_json(data: Any) -> Markup:
    """JSON that can stand in a script element: no character of it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _part(package: str, path: str) -> str:
    return files(package).joinpath(path).read_text(encoding="utf-8")
