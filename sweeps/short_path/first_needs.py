"""What a model alone is missing to be an experiment, said without loading it."""

import shlex
from collections.abc import Sequence

from evaluation.inputs.detoxify_checkpoint import published_checkpoint
from evaluation.judge.known_judges import PROBE_TEXTS
from surgery.files.local_paths import names_a_file, names_a_folder
from surgery.texts.classes import FEWEST_TEXTS
from sweeps.cell.settings import Settings
from sweeps.plan.materials import Materials


def about_model(settings: Settings, materials: Materials) -> str:
    """Layers and rows of a model that is on this machine.

    Raises:
        InputError: when it can't be read, or edited.
    """
    from surgery.rows.locator import layer_count, locate  # torch and transformers take seconds to import

    path = settings.model.path
    if not (names_a_folder(path) or names_a_file(path)):
        return f"{path}, of the hub: it is fetched when the command runs"
    materials.files(settings)
    _, shapes = materials.models.shapes(settings)
    component = settings.region.component
    rows = sum(home.total for home in locate(shapes, component))
    width = shapes.config.get_text_config().hidden_size
    return (
        f"{path}: {shapes.config.model_type}, {layer_count(shapes)} layers of width {width}, {rows:,} {component} rows "
        "that may be edited"
    )


def needs(model: str, texts: str | None, more: Sequence[str]) -> list[str]:
    """What is still to be given, and the command to type, a line each.

    Args:
        model, texts: as typed; None for texts that are to be given too.
        more: keys that were typed.
    """
    judge = "Detoxify" if published_checkpoint().is_file() else f"{PROBE_TEXTS}, a classifier of your own texts"
    lines = ["needs:"]
    if texts is None:
        lines.append(
            f"  TEXTS.csv    texts with a label each, {FEWEST_TEXTS} or more of both kinds, better some hundred: what "
            "to move away from and what not (.csv, .tsv, .json, .jsonl, .parquet)"
        )
    lines.append(
        "  PROMPTS.txt  prompts that the model continues, one a line: the best edit is chosen on half of them and told "
        "on the others"
    )
    lines.append(f"  judge        {judge}, unless evaluation.judge=... names another")
    command = shlex.join(["surgery", model, texts or "TEXTS.csv", "PROMPTS.txt", *more])
    return [*lines, "type:", f"  {command}", "or `surgery --help` for every key; nothing was loaded"]
