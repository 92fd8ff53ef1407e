"""`surgery MODEL TEXTS.csv PROMPTS.txt`, as the whole command that it stands for."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from surgery.errors import InputError
from sweeps.cell.settings import Settings
from sweeps.config.chosen_config import ChosenConfig
from sweeps.config.command_line import completed, config_dir, keys_of, parted, parted_names
from sweeps.config.composition import Composed
from sweeps.config.read_settings import read_settings
from sweeps.plan.experiment import Experiment
from sweeps.plan.materials import Materials
from sweeps.plan.plan import STORE
from sweeps.plan.planner import plan_cell
from sweeps.short_path.first_needs import about_model, needs
from sweeps.short_path.judge_choice import choose_judge
from sweeps.short_path.named_model import USAGE, model_key
from sweeps.short_path.table_columns import AVOID, LABEL, OTHERWISE, TEXT, Columns, find_columns, require_avoided
from sweeps.terminal.cell_tables import console
from sweeps.terminal.library_output import quiet_libraries


def short_command(arguments: Sequence[str]) -> list[str] | None:
    """The arguments of the command that is meant, with what was found out about the files said on the way.

    A model alone, or with texts, is told what else there has to be, and nothing is run. With texts and prompts, or
    keys that stand for them, it is a sweep over a few alphas; each key that is typed is left as it is.

    Args:
        arguments: names of a model and files, flags and KEY=VALUE in any order.

    Returns:
        Arguments as Hydra's app takes them; None where there is nothing to be run.

    Raises:
        InputError: for what can't be used or told apart, before a model is loaded.
    """
    flags, overrides = parted(arguments)
    flags, names = parted_names(flags)
    if len(names) > 3:
        raise InputError(f"{len(names)} names are given, and there are at most three: {USAGE}")
    given, folder = keys_of(overrides), config_dir(flags)
    model, texts, prompts = [*names, None, None, None][:3]
    own = [model_key(str(model), folder), *overrides]
    if texts is None and not given.keys().isdisjoint({"behavior", "behavior.path"}):
        return [*flags, *own]
    own += [] if "evaluation" in given else ["evaluation=own"]
    show = console()
    settings = read_settings(dict(_composed([*own, "behavior=tabular", "behavior.path=TEXTS.csv"], folder).values))
    materials, columns = Materials(), None
    if texts is not None:
        own.append(f"behavior.path={texts}")
        if (columns := _columns(texts, given)) is not None:
            own += [one for one in columns.overrides() if one.partition("=")[0] not in given]
    show.print(about_model(settings, materials), markup=False, soft_wrap=True)
    has_prompts = prompts is not None or not given.keys().isdisjoint({"evaluation", "evaluation.prompts"})
    if texts is None or not has_prompts:
        for line in needs(str(model), texts, overrides):
            show.print(line, markup=False, soft_wrap=True)
        return None
    own += [] if prompts is None else [f"evaluation.prompts={prompts}"]
    if "evaluation" not in given:
        own += _judge(columns, given)
    return _sweep(flags, own, given, folder, (settings, materials))


def _columns(path: str, given: Mapping[str, str]) -> Columns | None:
    """The columns of a table of texts and what is moved away from, said; None where the person tells it otherwise."""
    named = [given[key] for key in (TEXT, LABEL) if key in given]
    if not given.keys().isdisjoint(OTHERWISE) or any(name[:1] in "['\"" or name.isdigit() for name in named):
        return None
    columns = find_columns(path, given.get(TEXT), given.get(LABEL))
    if AVOID not in given:
        require_avoided(columns, path)
    counted = ", ".join(f"{word} ({count})" for word, count in columns.counts.items())
    console().print(
        f"{path}: texts in column {columns.text}, labels in column {columns.label}: {counted}; moves away from "
        f"{', '.join(map(str, _avoided(given)))}",
        markup=False,
        soft_wrap=True,
    )
    return columns


def _avoided(given: Mapping[str, str]) -> list[object]:
    """The labels to move away from, as they are typed or by default."""
    value = yaml.safe_load(given.get(AVOID, "[1]"))
    return value if isinstance(value, list) else [value]


def _judge(columns: Columns | None, given: Mapping[str, str]) -> list[str]:
    """The keys of a judge that can be had, unless one is typed."""
    found: list[str] = []
    if not any(key.startswith(("evaluation.judge", "evaluation.detoxify")) for key in given):
        judge = choose_judge({} if columns is None else columns.counts, _avoided(given))
        found = [one for one in judge.overrides if one.partition("=")[0] not in given]
        console().print(f"judged by {judge.said}", markup=False, soft_wrap=True)
    if "evaluation.text" not in given:
        console().print(
            "perplexity is not measured: evaluation.text=FILE.txt names a text that should stay as likely as it is",
            markup=False,
        )
    return found


def _sweep(
    flags: list[str],
    own: list[str],
    given: Mapping[str, str],
    folder: str | None,
    model: tuple[Settings, Materials],
) -> list[str] | None:
    """The command, with a few alphas where none is typed; of the model what was read of it already is used."""
    settings, materials = model
    own = [*own, *([] if given.keys() & {"probe", "probe.path"} else ["probe=logistic"])]
    if "model.dtype" not in given and (slow := materials.models.slow(settings)) is not None:
        console().print(f"model.dtype=float32, since {slow.partition(':')[0]}", markup=False, soft_wrap=True)
        own.append("model.dtype=float32")
    if not given.keys().isdisjoint({"alpha", "experiment", "hydra/sweeper"}):
        return _said([*flags, *own], given)
    own += [] if "alpha_unit" in given else ["alpha_unit=unit"]
    # All that can be wrong is told before the model is loaded.
    experiment = plan_cell(_composed(own, folder), materials)
    if yaml.safe_load(given.get("dry_run", "false")):
        console().print("alphas are found first when it runs, with the model; nothing was run", markup=False)
        return None
    quiet_libraries()
    values = ",".join(f"{alpha:g}" for alpha in _alphas_to_try(experiment))
    multirun = [] if {"-m", "--multirun"} & set(flags) else ["-m"]
    return _said([*multirun, *flags, *own, f"alpha={values}"], given)


def _alphas_to_try(experiment: Experiment) -> tuple[float, ...]:
    """Alphas from where perplexity hardly rises to where it rises a lot; printed with what it is at each."""
    from sweeps.suggest.suggestions import suggestions  # with all that makes an edit, which takes seconds to import

    store = Path(experiment.config["output_dir"]).expanduser() / STORE
    [found] = suggestions([experiment], store, progress=sys.stderr.isatty())
    bracket, alphas = found.bracket, found.bracket.alphas
    if len(alphas) < 2:
        # Perplexity hardly tells them apart: the smallest, a middle and the largest that was read.
        sizes = sorted(bracket.readings, key=abs)
        alphas = tuple(dict.fromkeys((sizes[0], sizes[len(sizes) // 2], sizes[-1])))
    rises = ", ".join(f"{alpha:g} ({bracket.rise(alpha):+.1%})" for alpha in alphas)
    # Of a part of the text: its perplexity is another one than that of the whole, which the cells tell.
    read = f"{bracket.text} ({bracket.tokens:,} tokens, {bracket.base:.3f} without an edit)"
    console().print(f"alphas by perplexity alone, of {read}: {rises}", markup=False, soft_wrap=True)
    return alphas


def _said(arguments: list[str], given: Mapping[str, str]) -> list[str]:
    """Tells the whole command, for who wants to change it."""
    console().print(f"the same as: {shlex.join(['surgery', *arguments])}", markup=False, soft_wrap=True)
    return arguments


def _composed(overrides: Sequence[str], folder: str | None) -> Composed:
    """The one cell of a command, or its first."""
    whole = completed([*([] if folder is None else ["--config-dir", folder]), *overrides])
    _, written = parted(whole)
    config: Any = ChosenConfig(written, folder).first_cell()
    return Composed.of(config, written)
