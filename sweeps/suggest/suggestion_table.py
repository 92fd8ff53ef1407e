"""Suggested alphas as a person sees them: a table, what is odd about it, and the commands to type."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from surgery.errors import InputError
from sweeps.config.command_line import parted
from sweeps.plan.experiment import Experiment
from sweeps.records.told_keys import setting_text, swept_keys
from sweeps.suggest.bracket import BROKEN, RISES, Bracket
from sweeps.suggest.suggestions import Suggestion, not_found_yet, suggestions
from sweeps.terminal.cell_tables import console
from sweeps.terminal.printed_table import print_table

# Keys that a suggested command has of its own, or has no use for.
OWN_KEYS = ("alpha", "suggest", "dry_run")
# Alphas that are named are a grid.
SEARCHES = ("experiment=search",)


def suggest(experiments: Sequence[Experiment], store_folder: Path, may_load: bool = True) -> None:
    """Finds the brackets of cells and prints them, with the commands to type.

    Args:
        experiments: of a command; those that differ in the size of alpha alone have one bracket.
        store_folder: where brackets are kept.
        may_load: whether the model may be loaded in this process.

    Raises:
        InputError: for a method without an alpha; where the model may not be loaded and has to be.
    """
    if not may_load and not_found_yet(experiments, store_folder):
        raise InputError("suggest=true loads the model in this process; leave hydra/launcher out")
    flags = [flag for flag in parted(sys.argv[1:])[0] if flag not in ("-m", "--multirun")]
    _show(suggestions(experiments, store_folder, sys.stderr.isatty()), flags, console())


def _show(found: Sequence[Suggestion], flags: Sequence[str], to: Console) -> None:
    """Prints a row a bracket, and a command each that sweeps over its alphas.

    Args:
        found: at least one.
        flags: of the command that asked, `--config-dir` say, without `-m`.
        to: where.
    """
    texts = dict.fromkeys((one.bracket.text, one.bracket.tokens, one.bracket.base) for one in found)
    for text, tokens, base in texts:
        told = f"How far alpha can go, by {text} alone ({tokens:,} tokens, {base:.3f} without an edit):"
        to.print(told, markup=False, soft_wrap=True)
    swept = [key for key in swept_keys([one.experiment.cell.keys() for one in found]) if key != "alpha"]
    steps = any(one.bracket.unit_step is not None for one in found)
    table = Table()
    for name in (*swept, *(["step"] if steps else []), *(f"below +{rise:.0%}" for rise in RISES), "broken"):
        table.add_column(name, justify="right")
    for one in found:
        keys, bracket = one.experiment.cell.keys(), one.bracket
        step = [] if not steps else ["-" if bracket.unit_step is None else f"{bracket.unit_step:.3g}"]
        alphas = [*(bracket.below(rise) for rise in RISES), bracket.breaks]
        table.add_row(*(str(keys.get(key, "-")) for key in swept), *step, *(_told(bracket, alpha) for alpha in alphas))
    print_table(table, to)
    to.print(f"broken: +{BROKEN:.0%} or more", markup=False)
    if steps:
        to.print("step: ‖direction‖ of an alpha of 1 over the median norm of the edited rows", markup=False)
    for one in found:
        for note in _notes(one.bracket):
            to.print(f"{_named(one, swept)}{note}", markup=False, soft_wrap=True)
    commands = [command for one in found if (command := suggested_command(one, flags)) is not None]
    if commands:
        to.print("Perplexity says how much text an alpha costs; what it does to the behavior a sweep shows:")
    for command in commands:
        to.print(f"  {command}", markup=False, soft_wrap=True)


def suggested_command(one: Suggestion, flags: Sequence[str] = ()) -> str | None:
    """The multirun over a bracket's alphas; None where it has none."""
    if not one.bracket.alphas:
        return None
    program, *overrides = shlex.split(one.experiment.command)
    kept = [given for given in overrides if given.partition("=")[0].lstrip("+") not in OWN_KEYS]
    kept = [given for given in kept if given not in SEARCHES]
    return shlex.join([program, "-m", *flags, *kept, f"alpha={','.join(f'{alpha:g}' for alpha in one.bracket.alphas)}"])


def _told(bracket: Bracket, alpha: float | None) -> str:
    if alpha is None:
        return "-"
    return f"{alpha:g} ({_percent(bracket.rise(alpha))})"


def _percent(rise: float) -> str:
    return f"{rise:+.{1 if abs(rise) < BROKEN else 0}%}"


def _named(one: Suggestion, swept: Sequence[str]) -> str:
    named = setting_text(one.experiment.cell.keys(), swept)
    return f"{named}: " if named else ""


def _notes(bracket: Bracket) -> list[str]:
    """What a person should know of a bracket that is not as one expects."""
    notes = []
    if bracket.falls is not None:
        one, other = bracket.falls
        notes.append(
            f"perplexity does not rise evenly: {_percent(bracket.rise(one))} at alpha={one:g}, "
            f"{_percent(bracket.rise(other))} at {other:g}; the alphas are those before it first rises so far"
        )
    least, most = min(bracket.readings, key=abs), max(bracket.readings, key=abs)
    if (rise := bracket.rise(most)) < max(RISES):
        notes.append(f"the largest alpha that was tried, {most:g}, changes perplexity by {_percent(rise)} only")
    if (rise := bracket.rise(least)) >= min(RISES):
        notes.append(f"the smallest alpha that was tried, {least:g}, raises perplexity by {_percent(rise)} already")
    return notes
