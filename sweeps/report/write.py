"""Writes the report of a sweep beside its records."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from surgery.files.whole_files import written_whole
from sweeps.records.choice import Choice
from sweeps.records.record import Record
from sweeps.report.contents import contents
from sweeps.report.page import page

PAGE, FIGURES = "report.html", "figures"
# `sweeps paper figure3` draws one a cell, and a page has to stay small.
MOST_DRAWN = 12


def write_report(
    folder: Path, records: Sequence[Record], choice: Choice | None, picked: Sequence[str] = (), figures: bool = False
) -> Path:
    """Writes report.html, whole or not at all, and `figures/` where asked for.

    What `sweeps paper FIGURE` has drawn of the sweep is shown in it, the first MOST_DRAWN.

    Args:
        folder: of the sweep.
        records: of its cells; at least one is done.
        choice: the rule it is chosen by.
        picked: cells whose samples are embedded beside those of the chosen one and the front.
        figures: also PNG and SVG.

    Returns:
        The page's path.
    """
    found = contents(folder.name, folder, records, choice, picked)
    with written_whole(folder / PAGE) as temporary:
        temporary.write_text(page(found, _drawn(folder / FIGURES)), encoding="utf-8")
    if figures:
        from sweeps.report.figures import write_figures

        write_figures(found, folder / FIGURES)
    return folder / PAGE


def _drawn(folder: Path) -> list[tuple[str, str]]:
    pictures = sorted(folder.glob("figure[0-9]*.png"))[:MOST_DRAWN]
    return [(path.stem, f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}") for path in pictures]
