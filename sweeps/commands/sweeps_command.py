"""The `sweeps` command: everything after a run. Reads records only; loads no model."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from surgery.errors import InputError
from sweeps.commands.compare_command import compare
from sweeps.commands.dashboard_command import dashboard
from sweeps.commands.export_commands import ask, export, play
from sweeps.commands.methods_command import methods
from sweeps.commands.options import Cell, Maximize, Minimize, Name, Output, Protocol, rule_given
from sweeps.commands.paper_command import paper
from sweeps.commands.store_command import store
from sweeps.commands.surgery_command import main as run_surgery
from sweeps.commands.sync_command import sync
from sweeps.commands.verify_command import verify
from sweeps.executors.import_path import import_packages_only
from sweeps.records.choice import conditions
from sweeps.records.metric import key_of
from sweeps.records.numbers import change, number
from sweeps.records.record import RESULT, SAMPLES, cell_folders, load_records, sweep_folders
from sweeps.records.samples import read_samples, told_with_scored
from sweeps.records.sweep import Sweep
from sweeps.report.write import FIGURES, write_report
from sweeps.results.best_cell import choose
from sweeps.results.cell_selector import named_cell
from sweeps.results.diagnosis import why_none
from sweeps.results.protocols import measured_alike
from sweeps.terminal.cell_tables import console
from sweeps.terminal.output import speak_plainly
from sweeps.terminal.printed_table import print_table
from sweeps.terminal.summary import show_choice, show_table

if TYPE_CHECKING:
    from evaluation.measurements.measurement import Half

app = typer.Typer(
    help="Shows what `surgery` left in the output folder.",
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"llm-surgery {version('llm-surgery')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")] = False,
) -> None:
    """Shows what `surgery` left in the output folder."""


@app.command("list")
def list_sweeps(output_dir: Output = Path("outputs")) -> None:
    """The sweeps in the output folder, newest last."""
    from rich.table import Table

    table = Table("sweep", "cells", "failed", "last cell ended")
    runs = {folder: load_records(folder) for folder in sweep_folders(output_dir / "runs")}
    folders = [folder for folder, records in runs.items() if records]
    if not folders:
        raise InputError(f"there are no sweeps in '{output_dir}'; run `surgery`, or name the folder with --output-dir")
    for folder in sorted(folders, key=_last_change):
        records = runs[folder]
        failed = sum(record.status == "failed" for record in records)
        ended = datetime.fromtimestamp(_last_change(folder), UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(folder.name, str(len(records)), str(failed or "-"), ended)
    print_table(table, console())


def _last_change(folder: Path) -> float:
    return max((cell / RESULT).stat().st_mtime for cell in cell_folders(folder) if (cell / RESULT).is_file())


@app.command()
def status(name: Name, output_dir: Output = Path("outputs")) -> None:
    """How many cells are done, which failed and why, and the seconds each stage took."""
    sweep, to = Sweep.named(name, output_dir), console()
    folder, records = sweep.folder, sweep.records
    counts = {kind: sum(record.status == kind for record in records) for kind in ("done", "failed", "pruned")}
    cut_off = [place.name for place in cell_folders(folder) if not (place / RESULT).exists()]
    to.print(", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no finished cell")
    if cut_off:
        to.print(f"{len(cut_off)} running or cut off: {', '.join(sorted(cut_off))}")
    for record in records:
        if record.status == "failed":
            to.print(f"{record.cell} failed: {record.error}", markup=False)
    done = [record for record in records if record.status == "done"]
    for stage in dict.fromkeys(stage for record in done for stage in record.seconds):
        seconds = [record.seconds.get(stage, 0.0) for record in done]
        to.print(f"{stage:10} {sum(seconds):8.1f} s in all, {sum(seconds) / len(seconds):6.2f} s a cell")


@app.command()
def report(
    name: Name,
    cell: Annotated[list[str] | None, typer.Option("--cell", help="embed the samples of this cell too; repeat")] = None,
    figures: Annotated[bool, typer.Option(help="also write figures/ as PNG and SVG")] = True,
    wide: Annotated[bool, typer.Option("--wide", help="all columns of the table, however narrow the terminal")] = False,
    protocol: Protocol = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """Writes report.html and figures/, and prints the table of all cells and the chosen one."""
    sweep = Sweep.named(name, output_dir)
    folder, records = sweep.folder, measured_alike(sweep.finished(), sweep.folder, protocol)
    done = [record for record in records if record.status == "done"]
    if not any(record.metrics for record in done):
        raise sweep.none_done()
    picked = [named_cell(one, sweep, done).cell for one in cell or []]
    choice = sweep.rule(done)
    found = choose(done, choice, folder) if choice else None
    to = console(wide=wide)
    show_table(records, found.best if found else None, to, name, choice)
    if choice is not None and found is not None:
        show_choice(found, choice, to)
    path = write_report(folder, records, choice, picked, figures)
    to.print(f"report: {path}" + (f", {folder / FIGURES}" if figures else ""), markup=False, soft_wrap=True)


@app.command()
def samples(
    name: Name,
    cell: Cell,
    measurement: Annotated[str, typer.Option("--measurement", "-m", help="which metric's samples")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="how many")] = 10,
    half: Annotated[str, typer.Option(help="report or selection")] = "report",
    rendered: Annotated[bool, typer.Option("--rendered", help="prompts as the model was shown them")] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """Base beside edited for the same prompts, the largest changes first."""
    from rich.table import Table

    sweep = Sweep.named(name, output_dir)
    record = named_cell(cell, sweep)
    if not (sweep.folder / record.cell / SAMPLES).is_file():
        raise InputError(f"cell {record.cell} has no samples: it {record.status}")
    table = told_with_scored(read_samples(sweep.folder / record.cell))
    with_text = table[table["edited"].notna() & (table["half"] == half)]
    names = list(dict.fromkeys(with_text["measurement"]))
    if not names:
        raise InputError(
            f"cell {record.cell} has no texts of the {half} half to show: nothing was continued in it; run it with an "
            "evaluation that has prompts, evaluation.prompts=FILE say"
        )
    wanted = measurement or names[0]
    if wanted not in names:
        raise InputError(f"cell {record.cell} has no {half} samples of '{wanted}'; there are {', '.join(names)}")
    rows = with_text[with_text["measurement"] == wanted]
    order = (rows["edited_score"] - rows["base_score"]).abs().sort_values(ascending=False, kind="stable").index
    metric = record.metrics.get(key_of(wanted, cast("Half", half)))
    shown = Table(title=f"{record.cell}: {wanted}, {change(metric)}", title_justify="left")
    for column in ("prompt", "base", "score", "edited", "score"):
        shown.add_column(column)
    for _, row in rows.loc[order].head(limit).iterrows():
        prompt = row["rendered"] if rendered and row.get("rendered") is not None else row["prompt"]
        cells = [prompt, row["base"], number(row["base_score"]), row["edited"], number(row["edited_score"])]
        shown.add_row(*(_shown(value) for value in cells))
    print_table(shown, console())


@app.command()
def best(
    name: Name,
    minimize: Minimize = "",
    maximize: Maximize = "",
    where: Annotated[
        list[str] | None,
        typer.Option(help="a condition, 'lm_eval/average/delta>=-0.02' say, in place of the rule's; repeat"),
    ] = None,
    protocol: Protocol = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """The best cell by the selection half, with its numbers on the report half; by the sweep's rule or your own."""
    sweep = Sweep.named(name, output_dir)
    folder, done = sweep.folder, measured_alike(sweep.done(), sweep.folder, protocol)
    own = None if minimize or maximize else sweep.rule(done)
    # Other conditions alone stand in place of those that the sweep's own rule has.
    choice = replace(own, where=conditions(where)) if own and where else rule_given(minimize, maximize, where) or own
    if choice is None:
        raise InputError("this sweep has no one rule to choose by; say --minimize METRIC or --maximize METRIC")
    found = choose(done, choice, folder)
    if found.best is None:
        raise InputError("; ".join(why_none(found, choice)))
    show_choice(found, choice, console())


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
def suggest(context: typer.Context) -> None:
    """Which alphas to try: takes what `surgery -m` takes, and is the same with suggest=true."""
    sys.argv = ["surgery", "-m", *context.args, "suggest=true"]
    run_surgery()


def _shown(value: object) -> str:
    """Text from a model, with nothing in it that a terminal would obey or `rich` would take as markup."""
    from rich.markup import escape

    text = "" if value is None else str(value)
    return escape("".join(c if c.isprintable() else " " for c in text))


app.command()(compare)
app.command()(dashboard)
app.command()(export)
app.command()(ask)
app.command()(methods)
app.command()(paper)
app.command()(play)
app.command()(store)
app.command()(sync)
app.command()(verify)


def main() -> None:
    """Runs the command; an error is one line and exit code 1."""
    import_packages_only()
    speak_plainly()
    arguments = sys.argv[1:] or ["--help"]
    try:
        app(arguments, prog_name="sweeps", standalone_mode=False)
    except InputError as error:
        print(f"sweeps: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        # Typer carries its own copy of click, whose usage errors have no public name but this method.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        print(f"sweeps: {message()} 'sweeps --help' shows what there is.", file=sys.stderr)
        sys.exit(1)
