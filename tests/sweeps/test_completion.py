"""What the shell is offered behind `surgery` and `sweeps`."""

from pathlib import Path

import pytest


def test_sweeps_offers_commands_sweeps_and_cells(made_sweep: Path, sweeps, monkeypatch) -> None:
    monkeypatch.chdir(made_sweep.parents[2])
    monkeypatch.setenv("_SWEEPS_COMPLETE", "complete_bash")
    for typed, offered in (
        ("sweeps comp", ["compare"]),
        ("sweeps ask ", ["made"]),
        ("sweeps samples ma", ["made"]),
        ("sweeps samples made c2", ["c2-4", "c2-8"]),
        ("sweeps export made be", ["best"]),
        ("sweeps export nothing b", ["best"]),
    ):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
        assert sweeps().out.split() == offered, typed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_both_commands_give_a_script_for_the_shell(surgery, sweeps, monkeypatch, shell: str) -> None:
    monkeypatch.setenv("_SWEEPS_COMPLETE", f"source_{shell}")
    assert f"_SWEEPS_COMPLETE=complete_{shell}" in sweeps().out
    hydras = surgery("-sc", f"install={shell}")
    # Hydra has bash's script for zsh too.
    assert f"query={'bash' if shell == 'zsh' else shell}" in hydras.out, hydras.err


def test_surgery_offers_groups_and_keys_also_behind_names(surgery, monkeypatch) -> None:
    for typed, offered in (
        ("surgery region=l", ["region=lowest"]),
        ("surgery MODEL TEXTS.csv model.rev", ["model.revision="]),
    ):
        monkeypatch.setenv("COMP_LINE", typed)
        monkeypatch.setenv("COMP_POINT", str(len(typed)))
        ran = surgery("-sc", "query=bash")
        assert ran.out.split() == offered, ran.err
