"""The model that a page plays with: asked as it is and with an edit, one request at a time, and always put back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from evaluation.engines.decoding import Generation
from evaluation.streaming import continue_aloud
from surgery.changes.receipt import Receipt
from surgery.edits.intervention import Intervention
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint
from surgery.region.ranking import RowRanking, rank_rows
from surgery.rows.locator import layer_count
from sweeps.play.answer_scores import AnswerScores
from sweeps.play.presets import Preset
from sweeps.records.chain import applied
from sweeps.run.ranking_stage import FILE as RANKING_FILE
from sweeps.run.ranking_stage import NAME as RANKING
from sweeps.run.region_choice import choosable, region_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """An answer so far.

    Attributes:
        text: what is there of it.
        scores: {metric: score}, once it has ended; empty where there is no scorer.
        ended: whether this is all.
    """

    text: str
    scores: Mapping[str, float] = field(default_factory=dict)
    ended: bool = False


class Session:
    """One model in memory, and the edits that presets and sliders make of it.

    Everything that looks at the model happens in one thread, in the order it was asked for, and an edit is applied
    there for one answer alone: however a reader goes away, the bits that were loaded come back.

    Args:
        model, tokenizer: of the base.
        generation: how prompts are continued.
        store: the folder of the sweep's store, with the rankings.
        judge: what scores answers.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        generation: Generation,
        store: Path,
        judge: AnswerScores,
    ) -> None:
        self.judge = judge
        self._model, self._tokenizer, self._generation = model, tokenizer, generation
        self._store = store
        self._loaded = fingerprint(model)
        self._rankings: dict[str, RowRanking] = {}
        self._answering: list[tuple[str, Event]] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")

    def chain(self, preset: Preset, alpha: float, top_k: int) -> list[Intervention]:
        """What is applied, oldest first, for an alpha and a region size in place of the preset's own; no edit at 0.

        Raises:
            InputError: for an alpha or a size that is not possible; see `rows`.
        """
        if alpha == 0:
            return preset.earlier
        region = region_of(self.rows(preset), preset.settings, top_k)
        return [*preset.earlier, replace(preset.edit, alpha=alpha, region=region)]

    def rows(self, preset: Preset) -> RowRanking:
        """All rows that regions of the preset are chosen from, in the order they were ranked in.

        Raises:
            InputError: when the kept ranking is damaged, or gone and can't be made again from the edit alone; when it
                does not give the very edit that was measured.
        """
        kept = next((name for name in preset.record.store if name.startswith(f"{RANKING}/")), preset.cell)
        key = f"{kept} {preset.settings.region} {preset.settings.seed}"
        if key not in self._rankings:
            ranking = self._ranking(preset, self._store / kept / RANKING_FILE)
            self._rankings[key] = choosable(ranking, preset.settings, layer_count(self._model))
        rows = self._rankings[key]
        again = replace(preset.edit, region=region_of(rows, preset.settings, preset.top_k))
        if again.fingerprint != preset.edit.fingerprint:
            raise InputError(f"the ranking of cell {preset.cell} no longer gives the edit that was measured")
        return rows

    def _ranking(self, preset: Preset, kept: Path) -> RowRanking:
        """Of all rows of the model: the one that was kept, or made again."""
        if kept.is_file():
            return RowRanking.load(kept)
        if preset.settings.probe.method == "random":
            raise InputError(
                f"the ranking of cell {preset.cell} is not in '{self._store}' any more, and its edit does not hold the "
                "probe that rows were ranked with; play with another cell"
            )

        def rank() -> RowRanking:
            with applied(preset.earlier, self._model):
                return rank_rows(self._model, preset.edit.direction, preset.settings.region.component)

        return self._in_turn(rank)

    def answers(self, prompt: str, chain: Sequence[Intervention], asker: str = "") -> Iterator[Answer]:
        """The answer to a prompt as it grows, with a chain applied to the model; it ends early when it is stopped.

        Args:
            prompt: the question, or text to go on with.
            chain: none for the base.
            asker: who `stop` may name.

        Raises:
            InputError: when the chain can't be applied, the prompt can't be shown or the scorer fails.
        """
        told: Queue[Answer | None] = Queue()
        stopped = Event()

        def answer() -> None:
            text = ""

            def tell(piece: str) -> None:
                nonlocal text
                text += piece
                told.put(Answer(text))

            def go_on() -> None:
                if stopped.is_set():
                    raise _Stopped

            go_on()
            with applied(chain, self._model):
                answered = continue_aloud(self._model, self._tokenizer, prompt, self._generation, tell, go_on)
            go_on()
            told.put(Answer(text, self.judge.scores(prompt, answered), ended=True))

        with self._noted(asker, stopped):
            future = self._worker.submit(answer)
            future.add_done_callback(lambda _: told.put(None))
            while (one := told.get()) is not None:
                yield one
            _raise_of(future)

    def receipt(self, chain: Sequence[Intervention]) -> Receipt:
        """What the last of a chain does to the model; raises InputError where it can't be applied."""
        *earlier, edit = chain

        def receive() -> Receipt:
            with applied(earlier, self._model), edit.applied_to(self._model) as receipt:
                return receipt

        return self._in_turn(receive)

    def stop(self, asker: str | None = None) -> None:
        """Ends the answers that somebody is given at the next token, and those that wait; None: everybody's."""
        for name, stopped in list(self._answering):
            if asker in (None, name):
                stopped.set()

    def close(self) -> str:
        """Ends all answers, and takes no more.

        Returns:
            The fingerprint of the model as it is then, from its bits.

        Raises:
            RuntimeError: when it is not what was loaded.
        """
        self.stop()
        self._worker.shutdown(wait=True, cancel_futures=True)
        if (now := fingerprint(self._model)) != self._loaded:
            raise RuntimeError(f"the model was {self._loaded} and is {now}: an edit was not taken back")
        return now

    def _in_turn(self, work: Callable[[], T]) -> T:
        """What looks at the model, when it is its turn."""
        return self._worker.submit(work).result()

    @contextmanager
    def _noted(self, asker: str, stopped: Event) -> Iterator[None]:
        """An answer that can be stopped, and is when nobody reads it any more."""
        noted = (asker, stopped)
        self._answering.append(noted)
        try:
            yield
        finally:
            stopped.set()
            self._answering.remove(noted)


class _Stopped(Exception):
    """Nobody waits for the rest."""


def _raise_of(future: "Future[None]") -> None:
    """Raises what went wrong; an answer that was stopped did not go wrong."""
    if not future.cancelled() and not isinstance(error := future.exception(), _Stopped | None):
        raise error
