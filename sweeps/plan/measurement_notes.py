"""What is to be known of the measurements before the first cell: how small a change they can show, what they lack."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evaluation.comparison.smallest_change import fewest_turned, samples_to_show
from evaluation.evaluator import CountsPrompts, ScoresPrompts
from sweeps.plan.experiment import Experiment
from sweeps.records.choice import Choice

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator
    from evaluation.measurements.measurement import Half


def measurement_notes(experiments: Sequence[Experiment], choice: Choice | None) -> list[str]:
    """How many prompts each evaluator has and the smallest change of a rate they can show; and what is missing.

    Args:
        experiments: of a command, without duplicates.
        choice: the rule that the best of them is chosen by.
    """
    # Cells that measure the same, of the same texts, share these.
    different = {(id(one.evaluators), id(one.texts)): one for one in experiments}.values()
    notes = [
        said
        for one in different
        for said in (*_sizes(one.evaluators), *_missing(one.evaluators, choice), *_read_by_the_probe(one))
    ]
    return list(dict.fromkeys(notes))


def _sizes(evaluators: "Mapping[str, Evaluator]") -> list[str]:
    counting = {name: one for name, one in evaluators.items() if isinstance(one, CountsPrompts)}
    return [_size(name, one.prompts_a_half()) for name, one in counting.items()]


def _size(name: str, counts: "Mapping[Half, int]") -> str:
    uses: dict[Half, str] = {"selection": "to choose by", "report": "to report"}
    told = f"{name}: {' and '.join(f'{counts[half]} prompts {use}' for half, use in uses.items() if half in counts)}"
    fewest = min(counts.values())
    turned = fewest_turned(fewest)
    if turned is None:
        least = len(counts) * samples_to_show(1)
        return f"{told}: too few to show any change of a rate; give {least} at least, and many more to show a small one"
    less = f"less than {turned / fewest:.3f} ({turned} of {fewest})"
    return f"{told}: a rate that moves by {less} can't be told from the base's"


def _missing(evaluators: "Mapping[str, Evaluator]", choice: Choice | None) -> list[str]:
    if choice is None:
        return []
    continues = any(isinstance(one, ScoresPrompts) for one in evaluators.values())
    if not continues and choice.metric.startswith("probe/"):
        return [
            "no prompts are continued, so of the behavior only the probe's loss is measured, which says little of what "
            "the model writes; evaluation.prompts=FILE (with evaluation=own) measures that"
        ]
    if continues and not choice.where:
        return [
            f"the best cell is the one of {choice}, whatever it costs; evaluation.text=FILE (with evaluation=own) adds "
            "perplexity and a limit to it, evaluation.choose.where=[CONDITION] any other"
        ]
    return []


def _read_by_the_probe(experiment: Experiment) -> list[str]:
    """Prompts that the probe has read are no test of what it found."""
    texts = {text.strip() for text in experiment.texts.texts}
    scoring = {name: one for name, one in experiment.evaluators.items() if isinstance(one, ScoresPrompts)}
    found = []
    for name, one in scoring.items():
        prompts = one.scored_prompts()
        if both := sum(prompt.strip() in texts for prompt in prompts):
            found.append(
                f"{name}: {both} of {len(prompts)} prompts stand among the behavior's texts, so the edit was made from "
                "what it is measured on; give other prompts"
            )
    return found
