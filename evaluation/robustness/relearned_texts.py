"""Which of a behavior's texts a short training may read: none that the behavior is scored on."""

from collections.abc import Iterable, Sequence

from evaluation.inputs.behavior_texts import parts
from surgery.texts.texts import LabelledTexts
from surgery.texts.words import text_key


def relearned_texts(texts: LabelledTexts, share: float, prompts: Iterable[str]) -> tuple[list[str], int]:
    """(different texts of the avoided class to train on, how many were left out for a prompt that they begin with).

    They are of those that a probe of seed 0 is trained on: what is held out from it, which the probe's loss is taken on
    and the judge `probe-texts` is made of, is held out here too. A text that begins with a scored prompt, or is one,
    would teach the model how to go on from there, and is left out.

    Args:
        texts: of the behavior.
        share: of the different texts that is held out; the probe's `test_share`.
        prompts: whose continuations are scored.
    """
    trained_on, _ = parts(texts, share)
    avoided = {text_key(texts.texts[i]): texts.texts[i] for i in trained_on if texts.labels[i] == 1}
    scored = {tuple(text_key(prompt).split()) for prompt in prompts}
    lengths = sorted({len(words) for words in scored})
    kept = [text for key, text in avoided.items() if not _begins_with(key.split(), scored, lengths)]
    return kept, len(avoided) - len(kept)


def _begins_with(words: Sequence[str], beginnings: set[tuple[str, ...]], lengths: Sequence[int]) -> bool:
    return any(tuple(words[:length]) in beginnings for length in lengths if length <= len(words))
