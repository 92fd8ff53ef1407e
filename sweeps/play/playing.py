"""A sweep played with: its model loaded, its page served, and the model put back at the end."""

import signal
from collections.abc import Callable
from secrets import token_urlsafe

from sweeps.plan.plan import STORE
from sweeps.play.answer_scores import AnswerScores
from sweeps.play.play_page import PlayPage
from sweeps.play.play_server import address, listen, make_server
from sweeps.play.presets import Preset, Presets
from sweeps.play.session import Session
from sweeps.records.base_model import load_cell_model
from sweeps.records.recorded_generation import as_measured
from sweeps.records.samples import read_samples
from sweeps.records.sweep import Sweep

# Bytes of chance in the token.
TOKEN = 24


def play_sweep(
    sweep: Sweep,
    start: str,
    port: int,
    say: Callable[[str], None],
    *,
    max_new_tokens: int | None = None,
    measurement: str = "",
    trust_code: bool = False,
) -> None:
    """Serves the page until Ctrl-C or SIGTERM, which then are no error.

    Args:
        sweep: with finished cells.
        start: the cell to start from; empty for the chosen one.
        port: of this machine; 0 is any free one.
        say: is given each line for the person.
        max_new_tokens: another length of answers than the measured one.
        measurement: whose way of asking and scoring it is; see `as_measured`.
        trust_code: let the recorded scorers run code that is not ours.

    Raises:
        InputError: for anything that is wrong, all but the model itself before it is loaded.
    """
    listening = listen(port)
    presets = Presets.of_sweep(sweep, start)
    session = open_session(sweep, presets, max_new_tokens, measurement, trust_code)
    # Asked for by a signal, the end of the server raises it again: as what Ctrl-C raises it can be waited for.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        page = PlayPage(session, presets, sweep.folder, measured_prompts(presets.first, session.judge.metric))
        token = token_urlsafe(TOKEN)
        server = make_server(page.build(), token)
        say(f"open {address(listening, token)}")
        say("its token lets nobody else on this machine in; Ctrl-C ends it")
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        say(f"closed: the model is bit for bit what was loaded, {session.close()}")


def open_session(
    sweep: Sweep,
    presets: Presets,
    max_new_tokens: int | None = None,
    measurement: str = "",
    trust_code: bool = False,
) -> Session:
    """Loads the model of a sweep's presets, and before it what scores answers; see `play_sweep`."""
    config = presets.first.config
    generation = as_measured(config, measurement, max_new_tokens)
    judge = AnswerScores.of(config, measurement, trust_code)
    return Session(*load_cell_model(config), generation, sweep.folder.parent.parent / STORE, judge)


def measured_prompts(preset: Preset, metric: str) -> list[str]:
    """The prompts of the report half that a cell's models answered, those of a metric first."""
    rows = read_samples(preset.folder, ["measurement", "half", "prompt", "edited"])
    answered = rows[rows["edited"].notna() & (rows["half"] == "report")]
    ordered = answered.iloc[(answered["measurement"] != metric).argsort(kind="stable")]
    return list(dict.fromkeys(ordered["prompt"]))
