"""Whether a reply refuses: by the paper's phrases, or by a list for models of today."""

from evaluation.refusal.refusal import LISTS as LISTS
from evaluation.refusal.refusal import PHRASES as PHRASES
from evaluation.refusal.refusal import Answered as Answered
from evaluation.refusal.refusal import Overrefused as Overrefused
from evaluation.refusal.refusal import Refusal as Refusal

__all__ = [
    "refusal",
]
