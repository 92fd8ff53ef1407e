"""One prompt's continuation in pieces, as they come."""

from collections.abc import Callable, Iterator, Sequence
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING

from evaluation.engines.decoding import Decoder, Generation
from evaluation.generation import Generated, encode_prompts, gathered, prompt_rows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def stream(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompt: str, settings: Generation
) -> Iterator[str]:
    """The continuation that `generate` gives of one prompt, in pieces as they come.

    Raises:
        InputError: see `generate`.
    """
    settings.check()
    pieces: Queue[str | BaseException | None] = Queue()

    def run() -> None:
        try:
            continue_aloud(model, tokenizer, prompt, settings, pieces.put)
            pieces.put(None)
        except BaseException as error:  # handed to the reader, which raises it
            pieces.put(error)

    worker = Thread(target=run)
    worker.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        # What the caller did to the model must stay until the last token is made, also when it stops reading early.
        worker.join()


def continue_aloud(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompt: str,
    settings: Generation,
    tell: Callable[[str], None],
    go_on: Callable[[], None] = lambda: None,
) -> Generated:
    """What `generate` gives of one prompt, told in pieces on the way.

    Args:
        tell: called with each piece as it comes.
        go_on: called at each token; what it raises ends the continuation, and is raised.

    Raises:
        InputError: see `generate`.
    """
    settings.check()
    decoder = Decoder(model, tokenizer, settings)
    encoded = encode_prompts(model, tokenizer, [prompt], settings)
    with decoder.ready():
        heard = _Pieces(decoder.text, settings.stop, tell, go_on)
        [new] = decoder.new_tokens(prompt_rows(model, tokenizer, encoded), heard).tolist()
    return gathered(decoder, encoded, [decoder.parted(new)[1] or ""], [decoder.until_end(new)], {})


class _Pieces:
    """A streamer for `generate()`: tells a text as it grows, but for the word at its end, which may yet change.

    Args:
        text_of: what the new tokens say.
        stop: texts at which it ends; what may be the beginning of one is not told.
        tell: called with each piece.
        go_on: called at each token.
    """

    def __init__(
        self,
        text_of: Callable[[list[int]], str],
        stop: Sequence[str],
        tell: Callable[[str], None],
        go_on: Callable[[], None],
    ) -> None:
        self._text_of, self._stop, self._tell, self._go_on = text_of, stop, tell, go_on
        self._new: list[int] = []
        self._prompt = True
        self._told = ""

    def put(self, ids: "torch.Tensor") -> None:
        """The prompt, and then each token."""
        self._go_on()
        if self._prompt:
            self._prompt = False
            return
        self._new += ids.reshape(-1).tolist()
        text = self._text_of(self._new)
        held = max((size for end in self._stop for size in range(len(end)) if text.endswith(end[:size])), default=0)
        sure = text[: len(text) - held]
        self._until(text, max(sure.rfind(" "), sure.rfind("\n"), 0))

    def end(self) -> None:
        """Tells what is left."""
        text = self._text_of(self._new)
        self._until(text, len(text))

    def _until(self, text: str, place: int) -> None:
        if place > len(self._told):
            self._tell(text[len(self._told) : place])
            self._told = text[:place]
