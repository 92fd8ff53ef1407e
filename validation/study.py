"""Runs the study: `python -m validation.study [--quick]`. What is there already is not run again.

It takes less than an hour where a processor multiplies in bfloat16. After an hour, the cell that is running is dropped
and the tables of what is there are written; the same command goes on. Every step is a command that anybody can type;
each is printed before it runs, and stands beside its numbers in the results. What a later step needs of an earlier one,
the chosen cell, is read from the records by the sweep's own rule.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from surgery.errors import InputError
from surgery.files.whole_files import written_whole
from sweeps.records.record import Record
from sweeps.records.sweep import Sweep, config_of
from validation import report
from validation.fetch import NotThere, catalogue, fetch, models_folder
from validation.steps import Place, Steps, TimeIsUp, machine
from validation.taken_cell import taken

HERE = Path(__file__).parent
# Table 9's rows but the random probe, which the chosen probe must not replace. One that is ours is run once.
VARIANTS = (
    "ours,random_region,highest_subtracted,layer_first,layer_middle,layer_last_but_one,layer_last,"
    "without_quarter_1,without_quarter_2,without_quarter_3,without_quarter_4"
)
# Of Table 2; what trains longest goes first.
METHODS = "dpo,surgery,feature_subtraction,lora,task_vector,contrastive_decoding"
COMPONENTS = "gate_proj,up_proj,down_proj,q_proj,k_proj,v_proj,o_proj"

# For measuring; tables and figures take the rest of an hour.
MINUTES = 56.0

# What a quick run looks at: enough to see that everything runs, too little to tell anything.
QUICK = ["evaluation.limit=6", "behavior.limit=60", "evaluation.text=wikitext2_quick.txt"]


def settings_of(record: Record, search: Path) -> list[str]:
    """A cell's own settings as overrides, its alpha and layer as the behavior's, so that variants find them there.

    The layer is named as the paper's tables name it where it has a name, so that a row of theirs is found.
    """
    keys = record.keys
    layer = config_of(search / record.cell).get("layer", keys["layer"])
    return [
        f"behavior={keys['behavior']}",
        f"behavior.pooling={keys.get('behavior.pooling', 'mean')}",
        f"behavior.preset.alpha={keys['alpha']}",
        f"behavior.preset.layer={'middle' if layer == 0.5 else layer}",
        f"top_k={keys['top_k']}",
        f"probe={keys['probe']}",
    ]


def detoxification(steps: Steps) -> None:
    """The search on Gemma, and the chosen cell on the report half."""
    quick = steps.place.quick
    model, small = "model=gemma3-270m", QUICK if quick else []
    trials = ["hydra.sweeper.n_trials=2", "hydra.sweeper.prune=false", "probe=mean_difference"] if quick else []
    steps.search(_named(steps, "search"), "experiment=study_search", *trials, *small)
    best, settings = _chosen(steps)
    whole = ["evaluation.samples=2"] if quick else []
    steps.surgery(_named(steps, "report"), model, "evaluation=study", *settings, *whole, *small)
    if not quick:
        # What does nothing or harm: other probes' texts, and the chosen edit at twice the step.
        steps.surgery(
            "study-others", "-m", model, *_table(steps), "behavior=study_paradetox,study_goemotions", *settings[1:]
        )
        twice = f"behavior.preset.alpha={2 * float(best.keys['alpha']):g}"
        steps.surgery("study-others", model, *_table(steps), *settings, twice)


def paper(steps: Steps) -> None:
    """The paper's tables on Gemma, with the chosen edit as `ours`."""
    quick, (_, settings) = steps.place.quick, _chosen(steps)
    *others, probe = settings
    table = ["model=gemma3-270m", *_table(steps), *others]
    variants = "ours,random_region" if quick else VARIANTS
    steps.surgery(_named(steps, "table9"), "experiment=paper/table9", *table, probe, f"variant={variants}")
    if quick:
        return
    steps.surgery("study-table9", "experiment=paper/table9", *table, "variant=random_probe")
    steps.surgery("study-table10", "experiment=paper/table10", *table, probe)
    steps.surgery("study-table11", "experiment=paper/table11", *table, probe, f"region.component={COMPONENTS}")
    steps.surgery("study-table2", "experiment=paper/table2", *table, probe, f"method={METHODS}")
    steps.surgery("study-table13", "experiment=paper/table13", "model=gemma3-270m", *settings)


def jailbreaks(steps: Steps) -> None:
    """SmolLM2: resisting and surrendering, alpha and rows looked for on other prompts of the same file."""
    small = [*QUICK, "evaluation.limit=3"] if steps.place.quick else []
    selection = [
        "evaluation.half=selection",
        "evaluation.text=wikitext2_selection.txt",
        "evaluation.prompts.jailbreak=jailbreak_selection.jsonl",
        "evaluation.prompts.twins=twins_selection.jsonl",
    ]
    grid = ["alpha=0.5"] if steps.place.quick else ["alpha=0.5,1"]
    common = ["model=smollm2-135m-q4", "model.chat=true", "evaluation=study_jailbreak", "probe=mean_difference"]
    name = _named(steps, "resist")
    steps.surgery(name, "-m", *common, "behavior=study_resist", *selection, *grid, "top_k=2143", *small)
    best = taken(name, steps.place.output).record
    alpha = best.keys["alpha"] if best else 0.5
    for number, behavior in ((3, "study_resist"), (4, "study_surrender")):
        rest = [f"behavior={behavior}", f"behavior.preset.alpha={alpha}", "top_k=2143"]
        # Table 3 sets others beside it; Table 4 has the one row.
        rest += ["method=surgery"] if number == 4 or steps.place.quick else ["method=surgery,lora,task_vector,wanda"]
        steps.surgery(_named(steps, f"table{number}"), f"experiment=paper/table{number}", *common, *rest, *small)
        if steps.place.quick:
            break


def whole(steps: Steps) -> None:
    """The chosen cell on more: WikiText-2 whole, 25 samples a prompt, every question of the tasks. For a GPU."""
    if steps.place.quick:
        return
    _, settings = _chosen(steps)
    more = ["evaluation.text=wikitext2.txt", "evaluation.samples=25", "evaluation.questions=null"]
    steps.surgery("study-whole", "model=gemma3-270m", "evaluation=study", *settings, *more)


PARTS = ("detoxification", "paper", "jailbreaks")
KNOWN = {"detoxification": detoxification, "paper": paper, "jailbreaks": jailbreaks, "whole": whole}


def _table(steps: Steps) -> list[str]:
    """What the paper's tables look at."""
    return ["evaluation=study_table", *(QUICK if steps.place.quick else [])]


def _named(steps: Steps, name: str) -> str:
    return f"study-quick-{name}" if steps.place.quick else f"study-{name}"


def _chosen(steps: Steps) -> tuple[Record, list[str]]:
    """The search's cell to go on with, and its settings.

    Of a quick run, whose few prompts can break every limit, the first that is done.
    """
    name, output = _named(steps, "search"), steps.place.output
    sweep, found = Sweep.named(name, output), taken(name, output)
    if found.why:
        print(found.why, flush=True)
    record = found.record
    if record is None and steps.place.quick:
        record = next(iter(sweep.done()), None)
    if record is None:
        raise InputError(f"the search '{name}' found no cell to go on with: {found.why}")
    return record, settings_of(record, sweep.folder)


def run(place: Place, parts: Sequence[str], minutes: float) -> None:
    """Runs everything, as far as the minutes go, and writes the tables.

    Raises:
        InputError: for the first step that does not end well; what was done is kept.
    """
    began = time.monotonic()
    steps = Steps(place, began + 60 * minutes)
    print(f"models in {place.dtype}, up to {place.workers} cells at once", flush=True)
    for name, model in catalogue().items():
        print(f"{name}: {fetch(model, models_folder())}", flush=True)
    steps.seconds["fetch"] = time.monotonic() - began
    steps.python("recipe", "validation.recipe", place.data, str(place.inputs))
    try:
        for part in parts or PARTS:
            KNOWN[part](steps)
    except TimeIsUp as next_one:
        print(
            f"{minutes:g} minutes are over and the study is not: what was measured is kept, and the same command goes "
            f"on with\n  {next_one}",
            flush=True,
        )
    finally:
        # A run that is broken off tells what it found.
        _write(steps, began)


def _write(steps: Steps, began: float) -> None:
    place = steps.place
    held, step = steps.peak
    machine = f"{os.cpu_count()} cores, {platform.machine()}, largest process {held:.1f} GiB, in {step}"
    pages = report.pages(place.output, place.quick, steps.sweeps)
    pages["times"] = report.times(steps.seconds, time.monotonic() - began, machine)
    if place.data != "hub":
        from validation.agreement import agreements, lines

        pages["judges"] = "\n".join(lines(agreements(Path(place.data) / "rtp" / "prompts_4000.jsonl", place.judges)))
    for name, text in pages.items():
        with written_whole(place.results / f"{name}.md") as path:
            path.write_text(text.rstrip() + "\n", encoding="utf-8")
    print(f"tables: {place.results}", flush=True)


def main() -> int:
    """Runs the study, or a part of it."""
    parser = argparse.ArgumentParser(description="the study on real models")
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}, all without one; and whole")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="to measure for (%(default)g); the same command then goes on"
    )
    parser.add_argument("--quick", action="store_true", help="a part of each, to see that it runs")
    given = parser.parse_args()
    shared = Path(os.path.relpath(HERE.parent.parent / "shared"))
    dtype, workers = machine()
    place = Place(
        data=os.environ.get("VALIDATION_DATA", str(shared / "data")),
        judges=Path(os.environ.get("STUDY_JUDGES", shared / "models" / "judges")),
        output=Path(os.environ.get("STUDY_OUTPUT", "outputs/study")),
        results=Path("outputs/study") / ("quick" if given.quick else "results"),
        dtype=dtype,
        workers=workers,
        quick=given.quick,
    )
    try:
        if place.data != "hub" and not Path(place.data).is_dir():
            raise NotThere(f"the folder of data '{place.data}' is not there (VALIDATION_DATA)")
        run(place, given.parts, given.minutes)
    except NotThere as error:
        # A machine without them can check the rest; what was asked for by itself is a failure.
        print(
            f"NOT RUN: {'the quick part of ' if given.quick else ''}the study on real models: {error}", file=sys.stderr
        )
        return 0 if given.quick else 1
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
