"""What trains on pairs of texts: those that `method.pairs` names, or the behavior's own classes."""

from collections.abc import Callable
from dataclasses import replace

from surgery.edits.low_rank import LowRankChange
from surgery.texts.text_pairs import TextPairs, matched
from sweeps.run.trained_change import trained, training, training_texts
from sweeps.run.workbench import CellWork


def trained_on_pairs(work: CellWork, finetune: Callable[..., LowRankChange]) -> LowRankChange:
    """The LoRA that `finetune` finds for the cell's pairs of texts, alpha times."""

    def train() -> LowRankChange:
        return finetune(*work.loaded, preference_pairs(work), **training(work))

    return replace(work.take(trained(work, LowRankChange, train)), alpha=work.cell.settings.alpha)


def preference_pairs(work: CellWork) -> TextPairs:
    """What to prefer to what; of the behavior's training texts, those that are not of the behavior to those that are.

    Texts of two classes are matched in the order they have, without a prompt; what the larger class has more is left.
    """
    return work.experiment.pairs or matched(training_texts(work, 0), training_texts(work, 1))
