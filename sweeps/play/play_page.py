"""The page: base and edited answers side by side, with sliders for alpha and region size."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from surgery.errors import InputError
from sweeps.play.played_adapter import write_adapter
from sweeps.play.presets import Presets
from sweeps.play.session import Answer, Session
from sweeps.play.sliders import Reach, alpha_reach, top_k_reach, where

# Requests that look at the model stand in one line.
TURN: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}


class PlayPage:
    """What a page does, for all its tabs; `build` lays it out.

    Args:
        session: asked by all of them, in turn.
        presets: of the sweep.
        folder: of the sweep.
        prompts: of the sweep, to begin with; none is fine.
    """

    def __init__(self, session: Session, presets: Presets, folder: Path, prompts: Sequence[str]) -> None:
        self._session, self._presets, self._folder, self._prompts = session, presets, folder, prompts

    def begin(self, prompt: str, request: gr.Request) -> str:
        """What is asked from now on, in place of what the tab is being answered."""
        self.stop(request)
        return prompt

    def ask(
        self, prompt: str, cell: str, alpha: float, top_k: float, request: gr.Request
    ) -> Iterator[tuple[str, str, str, str]]:
        """(base, its scores, edited, its scores) as they grow: first the base answers, then the edited model."""
        base = Answer("")
        with _told():
            for base in self._session.answers(prompt, (), _tab(request)):
                yield base.text, self._scores(base), "", ""
        if base.ended:
            for edited in self.ask_edited(prompt, cell, alpha, top_k, request):
                yield base.text, self._scores(base), *edited

    def ask_edited(
        self, prompt: str | None, cell: str, alpha: float, top_k: float, request: gr.Request
    ) -> Iterator[tuple[str, str]]:
        """(edited, its scores) as they grow; nothing before the tab has asked anything."""
        yield "", ""
        if prompt is None:
            return
        with _told():
            chain = self._session.chain(self._presets.of(cell), alpha, round(top_k))
            for answer in self._session.answers(prompt, chain, _tab(request)):
                yield answer.text, self._scores(answer)

    def stop(self, request: gr.Request) -> None:
        """Ends what a tab is being answered: by its button, before it asks anew, and when it is closed."""
        self._session.stop(_tab(request))

    def start(self, cell: str) -> tuple[Any, Any]:
        """Both sliders where a cell has them."""
        preset = self._presets.of(cell)
        with _told():
            reach = top_k_reach(self._presets, len(self._session.rows(preset)))
        return gr.update(value=preset.alpha), gr.update(value=preset.top_k, maximum=reach.high)

    def where(self, cell: str, alpha: float, top_k: float) -> str:
        """Where the sliders are."""
        with _told():
            return where(self._session, self._presets, self._presets.of(cell), alpha, round(top_k))

    def another(self, place: int) -> tuple[int, str]:
        """The next of the sweep's prompts."""
        place = (place + 1) % len(self._prompts)
        return place, self._prompts[place]

    def write(self, cell: str, alpha: float, top_k: float) -> str:
        """Writes the adapter of what is on the sliders, and says where."""
        with _told():
            folder = write_adapter(self._session, self._presets.of(cell), alpha, round(top_k), self._folder)
        return f"Written: `{folder}`. To talk to it in a terminal: `sweeps ask {folder}`"

    def _scores(self, answer: Answer) -> str:
        """A table; empty while the answer grows, and where it was stopped."""
        if not answer.ended:
            return ""
        if why := self._session.judge.why:
            return f"Not scored: {why}."
        rows = (f"| {name} | {score:.3f} |" for name, score in answer.scores.items())
        return "\n".join(["| score | |", "|:--|--:|", *rows])

    def build(self) -> gr.Blocks:
        """The page's parts, and what each does; raises InputError where the first preset has no rows."""
        page: gr.Blocks
        page = gr.Blocks(analytics_enabled=False, title=f"play: {self._folder.name}", fill_width=True)
        with page:
            keys = self._presets.first.record.keys
            gr.Markdown(f"## {self._folder.name}\n`{keys['model']}`, moved away from `{keys['behavior']}`")
            prompt = gr.Textbox(self._prompts[0] if self._prompts else "", label="prompt", lines=2, elem_id="prompt")
            with gr.Row(elem_id="buttons"):
                ask = gr.Button("Ask both", variant="primary", min_width=100, elem_id="ask")
                stop = gr.Button("Stop", min_width=100, elem_id="stop")
                another = gr.Button("Another prompt", visible=len(self._prompts) > 1, min_width=140, elem_id="another")
            sliders, place = self._sliders()
            with gr.Row():
                base, edited = _answer("base"), _answer("edited")
            with gr.Row():
                write = gr.Button("Write this adapter", scale=0, min_width=200, elem_id="write")
                written = gr.Markdown(elem_id="written")
            gr.Markdown("\n\n".join(self._presets.notes), elem_id="notes")

            # The prompt that the base has answered: what is typed since then is another one.
            asked = gr.State(None)
            inputs = [asked, *sliders]
            gr.on([ask.click, prompt.submit], self.begin, prompt, asked, queue=False).then(
                self.ask, inputs, [*base, *edited], **TURN
            )
            # Whatever the tab is being answered ends first, so that a moved slider is answered at once.
            released = gr.on([slider.release for slider in sliders[1:]], self.stop, queue=False)
            started = sliders[0].input(self.stop, queue=False).then(self.start, sliders[0], sliders[1:], **TURN)
            for ready in (released, started):
                ready.then(self.ask_edited, inputs, edited, **TURN)
            moved = [page.load, *(slider.change for slider in sliders)]
            gr.on(moved, self.where, sliders, place, show_progress="hidden", trigger_mode="always_last")
            stop.click(self.stop, queue=False)
            page.unload(self.stop)
            write.click(self.write, sliders, written, **TURN)
            turn = gr.State(0)
            another.click(self.another, turn, [turn, prompt], queue=False, show_progress="hidden")
        return page

    def _sliders(self) -> tuple[list[Any], gr.Markdown]:
        """The menu of cells and both sliders; and where they are, in words."""
        first = self._presets.first
        rows = len(self._session.rows(first))
        cells = [(one.label, one.cell) for one in self._presets.cells]
        cell = gr.Dropdown(cells, value=first.cell, label="cell to start from", filterable=False, elem_id="cell")
        with gr.Row():
            alpha = _slider(alpha_reach(self._presets), first.alpha, "alpha", "below 0: toward the behavior")
            top_k = _slider(top_k_reach(self._presets, rows), first.top_k, "top_k", "rows that are edited")
        return [cell, alpha, top_k], gr.Markdown(elem_id="where")


def _slider(reach: Reach, value: float, name: str, info: str) -> gr.Slider:
    return gr.Slider(reach.low, reach.high, value, step=reach.step, label=name, info=info, min_width=260, elem_id=name)


def _answer(name: str) -> list[Any]:
    """A box for a model's words, which are shown as they are, and one for their scores."""
    with gr.Column():
        text = gr.Textbox(label=name, lines=5, interactive=False, elem_id=name)
        return [text, gr.Markdown(elem_id=f"{name}-scores", elem_classes="scores")]


def _tab(request: gr.Request) -> str:
    return str(request.session_hash)


@contextmanager
def _told() -> Iterator[None]:
    """What a person is meant to read is shown on the page."""
    try:
        yield
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from None
