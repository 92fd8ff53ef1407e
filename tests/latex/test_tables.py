"""Every table of the paper, filled with numbers of ours, is LaTeX that compiles."""

import subprocess
from pathlib import Path

import pytest
from made_metrics import made_metrics

from sweeps.paper.render import as_latex
from sweeps.paper.table import PaperTable, table_names
from sweeps.records.record import Record

pytestmark = pytest.mark.latex

DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


def filled(table: PaperTable) -> dict[str, Record]:
    """A cell for every row that can be one, with a number in every column."""
    metric = {"base": 0.25, "edited": 0.5, "delta": 0.25, "ci95": [0.1, 0.4], "p": 0.01, "n": 10}
    metrics = made_metrics({column.metric.replace("*", "a"): metric for column in table.columns})
    return {row.name: Record(f"c{i}", "done", metrics=metrics) for i, row in enumerate(table.rows) if row.where}


@pytest.mark.parametrize("name", table_names())
def test_a_table_compiles(name: str, tmp_path: Path) -> None:
    table = PaperTable.load(name)
    rows = filled(table)
    said = {row.name: r"<!-- 100 % & \input{/etc/passwd} ~^_#$ “naïve”" for row in table.rows}
    text = as_latex(table, rows, said if table.continuations else None)
    assert "50.00" in text or "0.50" in text
    (tmp_path / "table.tex").write_text(DOCUMENT % text)
    command = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=900, check=False
    )
    assert ran.returncode == 0, ran.stdout[-2_000:]
    assert (tmp_path / "table.pdf").stat().st_size > 5_000
