"""The paper's Figure 2: probes against attention outputs, and how many of a region's neurons are active."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surgery.activity.attention_outputs import mean_attention_outputs
from surgery.activity.neuron_activity import active_neurons
from sweeps.charts.pictures import save_charts
from sweeps.paper.figure2_cells import Behavior, behaviors_of
from sweeps.paper.figure2_charts import cosine_charts, shift_charts
from sweeps.paper.neuron_shift import NeuronShift, shifts_in_words
from sweeps.paper.probe_cosines import ProbeCosines
from sweeps.paper.prompt_sets import PromptSet
from sweeps.records.base_model import load_cell_model
from sweeps.records.chain import applied
from sweeps.records.record import Record

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def draw_figure2(folder: Path, done: Sequence[Record], progress: bool = False) -> tuple[list[Path], list[str]]:
    """Reads the model with and without each behavior's edit, and draws into the sweep's `figures/`.

    Args:
        folder: of the sweep.
        done: its finished cells.
        progress: show a bar.

    Returns:
        The files, and what is to be seen, in sentences.

    Raises:
        InputError: see `behaviors_of`; or when the model is not there, or has layers without attention.
    """
    from tqdm import tqdm

    behaviors = behaviors_of(folder, done)
    model, tokenizer = load_cell_model(behaviors[0].config)
    # One reading of attention for each set, two of neurons for each set of each behavior.
    sets = {(one.kind, one.name): one for behavior in behaviors for one in behavior.sets}
    prompts = sum(len(one.prompts) for one in sets.values())
    prompts += 2 * sum(len(one.prompts) for behavior in behaviors for one in behavior.sets)
    with tqdm(total=prompts, desc="figure 2", unit="prompt", disable=not progress) as bar:
        outputs = [(one, _attention(model, tokenizer, one, bar.update)) for one in sets.values()]
        shifts = {one.name: _shifts(model, tokenizer, one, bar.update) for one in behaviors}
    cosines = ProbeCosines.of({one.name: one.edit.direction for one in behaviors}, outputs)
    files = save_charts(
        folder / "figures",
        "figure2-cosines",
        cosine_charts(cosines),
        size=cosines.size,
        widths=cosines.widths,
    )
    sentences = cosines.in_words()
    for name, found in shifts.items():
        files += save_charts(
            folder / "figures",
            f"figure2-neurons-{name}",
            shift_charts(found),
            size=(9.6, 4.2),
            heading=f"region of {name} (dashed: means)",
        )
        sentences += shifts_in_words(name, found)
    return files, sentences


def _attention(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: PromptSet,
    on_read: Callable[[int], object],
) -> "dict[int, torch.Tensor]":
    texts, special = prompts.written(tokenizer)
    outputs = mean_attention_outputs(model, tokenizer, texts, add_special_tokens=special)
    on_read(len(texts))
    return outputs


def _shifts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    behavior: Behavior,
    on_read: Callable[[int], object],
) -> list[NeuronShift]:
    region = behavior.edit.region

    def counts() -> list[list[Any]]:
        found = []
        for prompts in behavior.sets:
            texts, special = prompts.written(tokenizer)
            active = active_neurons(model, tokenizer, texts, region, add_special_tokens=special)
            found.append([one.numpy() for one in active])
            on_read(len(texts))
        return found

    before = counts()
    with applied(behavior.chain, model):
        after = counts()
    return [
        NeuronShift(prompts, len(region), *pair) for prompts, *pair in zip(behavior.sets, before, after, strict=True)
    ]
