"""The pairs of texts that a method trains on: those that `method.pairs` names, or the behavior's own classes."""

from surgery.texts.text_pairs import TextPairs, matched
from sweeps.run.trained_change import training_texts
from sweeps.run.workbench import CellWork


def preference_pairs(work: CellWork) -> TextPairs:
    """What to prefer to what; of the behavior's training texts, those that are not of the behavior to those that are.

    Texts of two classes are matched in the order they have, without a prompt; what the larger class has more is left.
    """
    return work.experiment.pairs or matched(training_texts(work, 0), training_texts(work, 1))
