"""A built wheel, unpacked elsewhere and run from a foreign folder, is whole."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_finds_its_configs_and_its_toy_world_from_any_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, timeout=900, cwd=tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    # First in the path, so that it hides the checkout these tests run from.
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(code: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=foreign, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert str(site) in run("import sweeps, toyworld, conf; print(sweeps.__file__, toyworld.__file__, conf.__file__)")
    surgery = "import sys; sys.argv = ['surgery', {}]; from sweeps.commands.surgery_command import main; main()"
    planned = run(surgery.format("'dry_run=true'"))
    assert "cells that would run: 1;" in planned
    ran = run(surgery.format("'evaluation=none', 'tracking=none', 'behavior.limit=40'"))
    assert "48 of 5504 rows by lowest cosine" in ran
    assert list(foreign.glob("outputs/runs/toyworld-toyworld_toxicity/*/result.json"))
