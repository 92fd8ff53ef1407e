"""Figures 3 and 4: the law of random cosines by sampling, and the pictures from real and hand-made records."""

import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from sweeps.results.random_cosines import random_counts


@pytest.mark.parametrize("width", [16, 256])
def test_random_vectors_are_as_the_law_says(width: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((40_000, width))
    cosines = vectors[:, 0] / np.linalg.norm(vectors, axis=1)
    edges = np.linspace(-0.5, 0.5, 21)
    expected = random_counts({"reach": 0.5, "rows": [2000] * 20, "width": width})
    counts = np.histogram(cosines, edges)[0]
    # Five standard deviations of a count.
    assert np.abs(counts - np.array(expected)).max() < 5 * np.sqrt(np.max(expected))
    assert random_counts({"reach": 0.5, "rows": [1] * 20}) is None


def test_figures_of_a_sweep(surgery, sweeps, arguments, tmp_path: Path) -> None:
    ran = surgery(*arguments, "-m", "alpha=2", "top_k=9", "method=surgery,directional_ablation", "sweep=m")
    assert ran.code == 0, ran.err
    shown = sweeps("paper", "figure3", "m")
    assert shown.code == 0, shown.err
    [line] = [line for line in shown.out.splitlines() if "selected rows" in line]
    assert "9 selected rows have cosines from -" in line
    assert "random vectors in 16 dimensions" in line
    [png] = (tmp_path / "outputs" / "runs" / "m" / "figures").glob("figure3-*.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "no cell of this sweep measured a behavior" in sweeps("paper", "figure4", "m").err
    assert "there is no 'figure9'; there are figure2, figure3, figure4" in sweeps("paper", "figure9", "m").err


@pytest.mark.slow
def test_methods_are_set_against_each_other(made_sweep: Path, sweeps) -> None:
    shown = sweeps("paper", "figure4", made_sweep.name, "--output-dir", str(made_sweep.parent.parent))
    assert shown.code == 0, shown.err
    assert "surgery (" in shown.out and "toxicity/toxic_rate" in shown.out
    assert (made_sweep / "figures" / "figure4.svg").read_text().startswith("<?xml")
    output = ("--output-dir", str(made_sweep.parent.parent))
    assert sweeps("report", made_sweep.name, *output).code == 0
    page = (made_sweep / "report.html").read_text()
    [embedded] = re.findall(r'<img alt="figure4" src="data:image/png;base64,([^"]+)"', page)
    assert b64decode(embedded) == (made_sweep / "figures" / "figure4.png").read_bytes()
