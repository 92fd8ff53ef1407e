"""The cells of a sweep as a shell script would do them: a fresh process for each step of each cell.

python benchmarks/shell_script.py STEP CELL FOLDER LIMIT     # one step; `sweep.py` times them all
"""

import subprocess
import sys
import time
from pathlib import Path

from sweep_plan import compose


def shell_script(folder: Path, limit: int, cells: int, again: bool) -> float:
    """Seconds that a fresh process for each step takes for some cells."""
    plan = compose([f"output_dir={folder}", "tracking=none", f"evaluation.limit={limit}"])
    start = time.perf_counter()
    for index in range(cells):
        names = list(plan.experiments[index].evaluators)
        steps = ["probe" if again else "probe-once", "edit", *(f"measure:{name}" for name in names)]
        for step in steps:
            subprocess.run([sys.executable, __file__, step, str(index), str(folder), str(limit)], check=True)
    return time.perf_counter() - start


def one_step(step: str, index: int, folder: Path, limit: int) -> None:
    """A step of the shell script, in its own process."""
    from surgery import Edit, Probe, collect_hidden_states, fit_probe, load_model, rank_rows
    from sweeps.terminal.library_output import quiet_libraries

    quiet_libraries()
    experiment = compose([f"output_dir={folder}", "tracking=none", f"evaluation.limit={limit}"]).experiments[index]
    settings, layer = experiment.cell.settings, experiment.cell.layer
    if step.startswith("probe"):
        model, tokenizer = load_model(settings.model.path)
        numbers = settings.probe
        for _ in range(int(numbers.epochs or 1) if step == "probe" else 1):
            states = collect_hidden_states(
                model, tokenizer, experiment.texts.texts, [layer], max_length=settings.behavior.max_length
            )
        fit_probe(
            states[layer],
            experiment.texts.labels,
            "adam",
            lr=numbers.lr,
            epochs=numbers.epochs,
            weight_decay=numbers.weight_decay,
            test_share=numbers.test_share,
            layer=layer,
        ).save(folder / "probe.safetensors")
    elif step == "edit":
        model, tokenizer = load_model(settings.model.path)
        direction = Probe.load(folder / "probe.safetensors").direction(1)
        edit = Edit(
            direction, settings.alpha, rank_rows(model, direction).lowest(experiment.cell.top_k), settings.alpha_unit
        )
        with edit.applied_to(model):
            model.save_pretrained(folder / "edited")
        tokenizer.save_pretrained(folder / "edited")
    else:
        model, tokenizer = load_model(str(folder / "edited"))
        evaluator = experiment.evaluators[step.removeprefix("measure:")]
        evaluator.prepare()
        evaluator.measure(model, tokenizer)


if __name__ == "__main__":
    one_step(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
