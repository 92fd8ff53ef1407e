"""The `sweeps` commands that take an edit away or try it out: export, ask and play."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from surgery.errors import InputError
from sweeps.commands.options import Cell, Name, Output, complete_sweep
from sweeps.export.push import push_folder
from sweeps.records.sweep import Sweep
from sweeps.results.cell_selector import BEST, named_cell
from sweeps.terminal.cell_tables import console
from sweeps.terminal.library_output import quiet_libraries


def export(
    name: Name,
    cell: Cell,
    target: Annotated[Path, typer.Argument(help="the folder to make")],
    kind: Annotated[str, typer.Option("--as", help="adapter, checkpoint, gguf or gguf-model")] = "adapter",
    force: Annotated[bool, typer.Option("--force", help="replace a folder that is there")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="read what was written again and compare")] = False,
    push: Annotated[str, typer.Option("--push", help="a hub repository to send it to; a dry run without --yes")] = "",
    public: Annotated[bool, typer.Option("--public", help="make that repository public")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="send after the dry run")] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """Writes a cell's edit as a PEFT adapter, a checkpoint or a GGUF file, with a model card."""
    from sweeps.export.export import export_cell, holds_export

    if (public or yes) and not push:
        raise InputError("--public and --yes go with --push REPO; name the repository")
    quiet_libraries()
    sweep, to = Sweep.named(name, output_dir), console()
    record = named_cell(cell, sweep)

    def say(text: str) -> None:
        to.print(text, markup=False, soft_wrap=True)

    folder = sweep.folder / record.cell
    # After the dry run of a push the very folder that was shown is sent.
    if push and not force and holds_export(record, folder, kind, target):
        say(f"'{target}' holds this export already")
    else:
        export_cell(record, folder, kind, target, say, force=force, verify=verify)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    say(f"{kind} of cell {record.cell}: {target}, {size / 1e6:.2f} MB")
    if push:
        address = push_folder(target, push, private=not public, dry_run=not yes, say=say)
        say(f"sent: {address}" if address else "the same command with --yes sends it")


def ask(
    name: Annotated[
        str, typer.Argument(help="the sweep, or the folder of an exported adapter", autocompletion=complete_sweep)
    ],
    cell: Cell = "",
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="one question, instead of a conversation")] = "",
    max_new_tokens: Annotated[int | None, typer.Option(help="longest answer, instead of the measured length")] = None,
    measurement: Annotated[
        str, typer.Option("--measurement", "-m", help="answer as this one was measured (evaluation.measurements.NAME)")
    ] = "",
    output_dir: Output = Path("outputs"),
) -> None:
    """Talks to base and edited model side by side; an empty line ends it. Of what is piped in, each line is asked."""
    from sweeps.export.ask import ADAPTER_CONFIG, Pair, ask_each, converse, show_answers

    piped = [] if prompt or sys.stdin.isatty() else [line for line in map(str.strip, sys.stdin) if line]
    if not (prompt or piped or sys.stdin.isatty()):
        raise InputError("there is no terminal to talk in, and nothing is piped in; give a question with --prompt")
    if max_new_tokens is not None and max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {max_new_tokens} is not possible: it is 1 or more")
    if not cell and (Path(name) / ADAPTER_CONFIG).is_file():
        if measurement:
            raise InputError(f"--measurement {measurement} needs the cell; an adapter knows of one way to answer")
        quiet_libraries()
        pair = Pair.of_adapter(Path(name), max_new_tokens)
    else:
        sweep = Sweep.named(name, output_dir)
        record = named_cell(cell or BEST, sweep)
        if record.status != "done":
            raise InputError(f"cell {record.cell} has no edit to ask: it {record.status}")
        record.require_this_identity()
        quiet_libraries()
        pair = Pair.of_cell(sweep.folder / record.cell, max_new_tokens, measurement)
    if prompt:
        show_answers(pair, prompt, console())
    elif piped:
        ask_each(pair, piped, console())
    else:
        converse(pair, console())


def play(
    name: Name,
    cell: Annotated[str, typer.Argument(help="the cell to start from; without it the chosen one")] = "",
    port: Annotated[int, typer.Option(help="of this machine alone; 0 is any free one")] = 7860,
    max_new_tokens: Annotated[int | None, typer.Option(help="longest answer, instead of the measured length")] = None,
    measurement: Annotated[
        str, typer.Option("--measurement", "-m", help="answer, and score, as this one was measured")
    ] = "",
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="let the recorded scorers run code that is not part of this package")
    ] = False,
    output_dir: Output = Path("outputs"),
) -> None:
    """Opens a page to play with the sweep's edits: base beside edited, sliders for alpha and region size."""
    if find_spec("gradio") is None:
        raise InputError("sweeps play needs Gradio, which is not installed; pip install 'llm-surgery[play]'")
    if max_new_tokens is not None and max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {max_new_tokens} is not possible: it is 1 or more")
    from sweeps.play.playing import play_sweep  # with torch and Gradio, whose imports take seconds

    quiet_libraries()
    sweep, to = Sweep.named(name, output_dir), console()
    play_sweep(
        sweep,
        cell,
        port,
        lambda text: to.print(text, markup=False, soft_wrap=True),
        max_new_tokens=max_new_tokens,
        measurement=measurement,
        trust_code=trust_code,
    )
