"""The `sweeps` command: everything after a run. Reads records only; loads no model."""

import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from surgery.errors import InputError
from sweeps.choice import Choice
from sweeps.records import RESULT, Record, load_records
from sweeps.tables import change, console, number, sweep_table

app = typer.Typer(
    help="Shows what `surgery` left in the output folder.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Output = Annotated[Path, typer.Option("--output-dir", "-o", help="the folder that `surgery` wrote to")]
Name = Annotated[str, typer.Argument(help="the sweep, as `sweeps list` names it")]


def _version(asked: bool) -> None:
    if asked:
        print(f"llm-surgery {version('llm-surgery')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="show the version")] = False,
) -> None:
    """Shows what `surgery` left in the output folder."""


def _sweep_folder(name: str, output_dir: Path) -> Path:
    runs = output_dir / "runs"
    there = sorted(folder.name for folder in runs.glob("*/")) if runs.is_dir() else []
    if name not in there:
        known = f"there are {', '.join(there)}" if there else f"there are none in '{output_dir}' (--output-dir?)"
        raise InputError(f"no sweep is called '{name}'; {known}")
    return runs / name


def _records(name: str, output_dir: Path) -> list[Record]:
    records = load_records(_sweep_folder(name, output_dir))
    if not records:
        raise InputError(f"sweep '{name}' has no finished cell yet")
    return records


@app.command("list")
def list_sweeps(output_dir: Output = Path("outputs")) -> None:
    """The sweeps in the output folder, newest last."""
    from rich.table import Table

    table = Table("sweep", "cells", "failed", "last cell ended")
    folders = [folder for folder in (output_dir / "runs").glob("*/") if any(folder.glob(f"*/{RESULT}"))]
    if not folders:
        raise InputError(f"there are no sweeps in '{output_dir}'; run `surgery`, or name the folder with --output-dir")
    for folder in sorted(folders, key=_last_change):
        records = load_records(folder)
        failed = sum(record.status == "failed" for record in records)
        ended = datetime.fromtimestamp(_last_change(folder), UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(folder.name, str(len(records)), str(failed or "-"), ended)
    console().print(table)


def _last_change(folder: Path) -> float:
    return max(result.stat().st_mtime for result in folder.glob(f"*/{RESULT}"))


@app.command()
def status(name: Name, output_dir: Output = Path("outputs")) -> None:
    """How many cells are done, which failed and why, and the seconds each stage took."""
    folder = _sweep_folder(name, output_dir)
    records = load_records(folder)
    to = console()
    counts = {kind: sum(record.status == kind for record in records) for kind in ("done", "failed", "pruned")}
    cut_off = [place.name for place in folder.glob("*/") if not (place / RESULT).exists()]
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
def report(name: Name, output_dir: Output = Path("outputs")) -> None:
    """The table of all cells, base → edited, and the cell chosen on the selection half."""
    from sweeps.summary import show_choice

    records = _records(name, output_dir)
    done = [record for record in records if record.status == "done"]
    choice = _choice(_sweep_folder(name, output_dir), done)
    best = choice.pick((record.cell, record.metrics) for record in done) if choice else None
    to = console()
    to.print(sweep_table(records, best, title=name))
    if choice is not None:
        show_choice(done, best, choice, to)


def _choice(folder: Path, done: list[Record]) -> Choice | None:
    """The rule the sweep was run with; none when its cells disagree."""
    import yaml

    from sweeps.records import CONFIG

    rules = []
    for record in done:
        config = yaml.safe_load((folder / record.cell / CONFIG).read_text(encoding="utf-8"))
        rules.append(config["evaluation"].get("choose"))
    return Choice.parse(rules[0]) if rules and rules[0] and all(rule == rules[0] for rule in rules) else None


@app.command()
def samples(
    name: Name,
    cell: Annotated[str, typer.Argument(help="the cell's id, or its first characters")],
    measurement: Annotated[str, typer.Option("--measurement", "-m", help="which metric's samples")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", help="how many")] = 10,
    half: Annotated[str, typer.Option(help="report or selection")] = "report",
    output_dir: Output = Path("outputs"),
) -> None:
    """Base beside edited for the same prompts, the largest changes first."""
    import pandas as pd
    from rich.table import Table

    from sweeps.records import SAMPLES

    record = _cell(cell, _records(name, output_dir))
    path = _sweep_folder(name, output_dir) / record.cell / SAMPLES
    if not path.is_file():
        raise InputError(f"cell {record.cell} has no samples: it {record.status}")
    table = pd.read_parquet(path)
    with_text = table[table["edited"].notna() & (table["half"] == half)]
    names = list(dict.fromkeys(with_text["measurement"]))
    wanted = measurement or (names[0] if names else "")
    if wanted not in names:
        raise InputError(
            f"cell {record.cell} has no {half} samples of '{wanted}'; there are {', '.join(names) or 'none'}"
        )
    rows = with_text[with_text["measurement"] == wanted]
    order = (rows["edited_score"] - rows["base_score"]).abs().sort_values(ascending=False, kind="stable").index
    shown = Table(title=f"{record.cell}: {wanted}, {change(record.metrics.get(wanted))}", title_justify="left")
    for column in ("prompt", "base", "score", "edited", "score"):
        shown.add_column(column, overflow="fold")
    for _, row in rows.loc[order].head(limit).iterrows():
        cells = [row["prompt"], row["base"], number(row["base_score"]), row["edited"], number(row["edited_score"])]
        shown.add_row(*(_shown(value) for value in cells))
    console().print(shown)


@app.command()
def best(
    name: Name,
    minimize: Annotated[str, typer.Option(help="the metric to have low")] = "",
    maximize: Annotated[str, typer.Option(help="the metric to have high")] = "",
    where: Annotated[
        list[str] | None, typer.Option(help="a condition, 'lm_eval/average/delta>=-0.02' say; repeat")
    ] = None,
    output_dir: Output = Path("outputs"),
) -> None:
    """The best cell by the selection half, told on the report half; without options by the rule of the sweep."""
    from sweeps.summary import show_choice

    done = [record for record in _records(name, output_dir) if record.status == "done"]
    if minimize or maximize or where:
        rule = {"minimize": minimize, "maximize": maximize, "where": where or []}
        choice: Choice | None = Choice.parse({key: value for key, value in rule.items() if value})
    else:
        choice = _choice(_sweep_folder(name, output_dir), done)
    if choice is None:
        raise InputError("this sweep has no one rule to choose by; say --minimize METRIC or --maximize METRIC")
    found = choice.pick((record.cell, record.metrics) for record in done)
    show_choice(done, found, choice, console())
    if found is None:
        raise InputError(f"none of {len(done)} cells meets the conditions")


@app.command()
def export(
    name: Name,
    cell: Annotated[str, typer.Argument(help="the cell's id, or its first characters")],
    target: Annotated[Path, typer.Argument(help="the folder to make")],
    kind: Annotated[str, typer.Option("--as", help="adapter or checkpoint")] = "adapter",
    force: Annotated[bool, typer.Option("--force", help="replace a folder that is there")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="read a checkpoint again and compare")] = False,
    push: Annotated[str, typer.Option("--push", help="a hub repository to send it to; a dry run without --yes")] = "",
    public: Annotated[bool, typer.Option("--public", help="make that repository public")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="send after the dry run")] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """Writes a cell's edit as a PEFT adapter or as a checkpoint, with a model card."""
    from sweeps.export import export_cell
    from sweeps.push import push_folder
    from sweeps.quiet import quiet_libraries

    if (public or yes) and not push:
        raise InputError("--public and --yes go with --push REPO; name the repository")
    quiet_libraries()
    record = _cell(cell, _records(name, output_dir))
    to = console()

    def say(text: str) -> None:
        to.print(text, markup=False, soft_wrap=True)

    folder = _sweep_folder(name, output_dir) / record.cell
    export_cell(record, folder, kind, target, say, force=force, verify=verify)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    say(f"{kind} of cell {record.cell}: {target}, {size / 1e6:.2f} MB")
    if push:
        address = push_folder(target, push, private=not public, dry_run=not yes, say=say)
        say(f"sent: {address}" if address else "say --force --yes to send it")


@app.command()
def ask(
    name: Annotated[str, typer.Argument(help="the sweep, or the folder of an exported adapter")],
    cell: Annotated[str, typer.Argument(help="the cell's id, or its first characters")] = "",
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="one question, instead of a conversation")] = "",
    max_new_tokens: Annotated[int, typer.Option(help="longest answer")] = 60,
    output_dir: Output = Path("outputs"),
) -> None:
    """Talks to base and edited model side by side; an empty line ends it."""
    from sweeps.ask import ADAPTER_CONFIG, Pair, show_answers
    from sweeps.ask import ask as converse
    from sweeps.quiet import quiet_libraries

    if not prompt and not sys.stdin.isatty():
        raise InputError("there is no terminal to talk in; give one question with --prompt")
    if not cell and (Path(name) / ADAPTER_CONFIG).is_file():
        quiet_libraries()
        pair = Pair.of_adapter(Path(name), max_new_tokens)
    else:
        record = _cell(cell, _records(name, output_dir))
        if record.status != "done":
            raise InputError(f"cell {record.cell} has no edit to ask: it {record.status}")
        quiet_libraries()
        pair = Pair.of_cell(_sweep_folder(name, output_dir) / record.cell, max_new_tokens)
    if prompt:
        show_answers(pair, prompt, console())
    else:
        converse(pair, console())


def _shown(value: object) -> str:
    """Text from a model, with nothing in it that a terminal would obey or `rich` would take as markup."""
    from rich.markup import escape

    text = "" if value is None else str(value)
    return escape("".join(c if c.isprintable() else " " for c in text))


def _cell(start: str, records: list[Record]) -> Record:
    found = [record for record in records if record.cell.startswith(start)]
    if len(found) != 1:
        known = ", ".join(record.cell for record in found or records)
        raise InputError(f"'{start}' names {len(found)} cells; there are {known}")
    return found[0]


def main() -> None:
    """Runs the command; an error is one line and exit code 1."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        app(arguments, standalone_mode=False)
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
