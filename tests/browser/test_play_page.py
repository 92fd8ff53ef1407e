"""`sweeps play` in a real browser: its page asked, moved, written from and closed."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.browser

TOKEN = "the-token"
PROMPTS = ("ann said to bob : ann is a rude", "cid said to dee : cid is a warm")
NEW_TOKENS = 12
# Of Gradio: its page and files, its API, its queue and what it keeps alive.
ROUTES = (
    *("", "config", "theme.css", "manifest.json", "favicon.ico", "static/img/logo.svg", "assets/a.js", "monitoring"),
    *(f"gradio_api/{one}" for one in ("info", "config", "api/ask", "call/ask", "run/ask", "queue/join", "queue/data")),
    *(f"gradio_api/{one}" for one in ("upload", "file=/etc/passwd", "heartbeat/s", "reset", "cancel", "app_id", "mcp")),
)


def bits(model: Any) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}


@dataclass
class Played:
    """A page that is served here.

    Attributes:
        folder: that the sweep was run in.
        model, tokenizer: in its session.
        session: behind it.
        address: of the page.
        elsewhere: addresses outside this machine that Python connected to.
    """

    folder: Path
    model: Any
    tokenizer: Any
    session: Any
    address: str
    elsewhere: list[Any]


@pytest.fixture(scope="module")
def folder(tiny_llama: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `surgery` left a sweep of two cells."""
    from gguf_world import SENTENCES

    from sweeps.commands.surgery_command import main

    there = tmp_path_factory.mktemp("play")
    chosen = Random(0).sample(SENTENCES, 120)
    lines = [f"{text},{int(text.split()[8] in ('rude', 'lazy', 'silly', 'grumpy'))}" for text in chosen]
    (there / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    (there / "prompts.txt").write_text("\n".join([*PROMPTS, *(text[:30] for text in chosen[:8])]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(there)
        words = [f"model.path={tiny_llama()}", "behavior.path=texts.csv", "tracking=none", "sweep=played"]
        words += ["evaluation.prompts=prompts.txt", f"evaluation.max_new_tokens={NEW_TOKENS}"]
        words += ["evaluation.judge=probe-texts", "probe.test_share=0.4", "hydra.launcher.workers=0"]
        patch.setattr(sys, "argv", ["surgery", "-m", "alpha=-60,40", "top_k=24", *words])
        main()
    return there


@pytest.fixture(scope="module")
def played(folder: Path) -> Iterator[Played]:
    from sweeps.play.play_page import PlayPage
    from sweeps.play.play_server import address, listen, make_server
    from sweeps.play.playing import measured_prompts, open_session
    from sweeps.play.presets import Presets
    from sweeps.records.sweep import Sweep

    connect, elsewhere = socket.socket.connect, []

    def connected(it: socket.socket, to: Any) -> None:
        if it.family != socket.AF_UNIX and to[0] not in ("127.0.0.1", "localhost", "::1"):
            elsewhere.append(to)
        connect(it, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(socket.socket, "connect", connected)
        sweep = Sweep.named("played", Path("outputs"))
        presets = Presets.of_sweep(sweep)
        session = open_session(sweep, presets)
        prompts = measured_prompts(presets.first, session.judge.metric)
        server = make_server(PlayPage(session, presets, sweep.folder, prompts).build(), TOKEN)
        listening = listen(0)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        loaded = (session._model, session._tokenizer)
        try:
            yield Played(folder, *loaded, session, address(listening, TOKEN), elsewhere)
        finally:
            server.should_exit = True
            thread.join()
            session.close()


def text(browser: Any, id: str) -> str:
    script = (
        "const it = document.getElementById(arguments[0]); return it.querySelector('textarea')?.value ?? it.innerText"
    )
    return str(browser.js(script, id))


def ask(browser: Any, prompt: str) -> None:
    set_value = "const it = document.querySelector('#prompt textarea'); it.value = arguments[0];"
    browser.js(set_value + "it.dispatchEvent(new Event('input', {bubbles: true}))", prompt)
    browser.js("document.querySelector('#ask').click()")


def slide(browser: Any, id: str, value: float) -> None:
    browser.js(
        "const it = document.querySelector(`#${arguments[0]} input[type=range]`); it.value = arguments[1];"
        "it.dispatchEvent(new Event('input', {bubbles: true}));"
        "it.dispatchEvent(new PointerEvent('pointerup', {bubbles: true}));",
        id,
        str(value),
    )


def wait_for_answers(browser: Any, base: str, edited: str) -> None:
    """Waits for what is shown in the end: what lies between may be gone before anybody looks."""
    until(lambda: (text(browser, "base"), text(browser, "edited")) == (base, edited))
    browser.until("return !!document.querySelector('#edited-scores table')")


def expected(played: Played, prompt: str, alpha: float | None = None) -> str:
    """What the model of the sweep, loaded anew, says under an edit that is made by hand."""
    from evaluation.generation import Generation, generate
    from surgery import Edit, load_model

    model, tokenizer = load_model(str(played.model.config._name_or_path))
    edit = Edit.load(next(played.folder.glob("outputs/runs/played/*/edit.safetensors")))
    with nullcontext() if alpha is None else replace(edit, alpha=alpha).applied_to(model):
        return generate(model, tokenizer, [prompt], Generation(max_new_tokens=NEW_TOKENS)).texts[0]


def test_two_prompts_a_moved_slider_and_an_adapter(browser: Any, played: Played) -> None:
    from sweeps.export.ask import Pair

    before = bits(played.model)
    browser.visit(played.address)
    browser.until("return (document.getElementById('where')?.innerText ?? '').includes('rows')")
    base = expected(played, PROMPTS[0])
    start = float(browser.js("return document.querySelector('#alpha input[type=number]').value"))
    first, moved = expected(played, PROMPTS[0], start), expected(played, PROMPTS[0], 90)
    assert moved != first
    ask(browser, PROMPTS[0])
    wait_for_answers(browser, base, first)
    assert "guard/probe-texts/avoided_rate" in text(browser, "base-scores")
    slide(browser, "alpha", 90)
    wait_for_answers(browser, base, moved)
    until(lambda: "nothing was measured here" in text(browser, "where"))
    ask(browser, PROMPTS[1])
    wait_for_answers(browser, expected(played, PROMPTS[1]), expected(played, PROMPTS[1], 90))
    browser.screenshot("play-1440")
    browser.js("document.querySelector('#write').click()")
    browser.until("return document.getElementById('written').innerText.includes('Written')")
    found = re.search(r"Written: (\S+)\.", text(browser, "written"))
    assert found is not None
    assert "".join(Pair.of_adapter(played.folder / found[1], None).answer(PROMPTS[0], edited=True)) == moved
    assert bits(played.model) == before


def test_it_fits_a_phone_and_nothing_is_fetched_or_sent_elsewhere(browser: Any, played: Played) -> None:
    browser.visit(played.address, 390)
    browser.until("return (document.getElementById('where')?.innerText ?? '').includes('rows')")
    ask(browser, PROMPTS[0])
    browser.until("return !!document.querySelector('#edited-scores table')")
    assert browser.js("return document.documentElement.scrollWidth") <= 390
    browser.screenshot("play-390")
    fetched = browser.js("return performance.getEntriesByType('resource').map((one) => one.name)")
    # Gradio's page names a manifest and no icon, which lie outside the token: they are refused.
    refused = [one for one in fetched if not one.startswith(played.address)]
    assert {one.rsplit("/", 1)[1] for one in refused} <= {"manifest.json", "favicon.ico"}
    assert len(fetched) > 20
    assert all(one.startswith(played.address.removesuffix(f"{TOKEN}/")) for one in fetched)
    assert [one for one in browser.errors() if not re.search(r"manifest\.json|favicon\.ico", one)] == []
    assert played.elsewhere == []


def test_every_route_needs_the_token(played: Played) -> None:
    root = played.address.removesuffix(f"{TOKEN}/")
    for method in ("GET", "POST"):
        for path in ROUTES:
            for way in ("", "wrong/", f"{TOKEN}x/"):
                assert requests.request(method, f"{root}{way}{path}", timeout=30).status_code == 403
    assert requests.get(f"{played.address}config", timeout=30).status_code == 200
    asked = {"data": [60.0, 24], "fn_index": 0, "session_hash": "s"}
    assert requests.post(f"{played.address}gradio_api/queue/join", json=asked, timeout=30).status_code != 403


def test_closing_the_page_in_an_answer_puts_the_bits_back(browser: Any, played: Played) -> None:
    before = bits(played.model)
    browser.visit(played.address)
    browser.until("return (document.getElementById('where')?.innerText ?? '').includes('rows')")
    ask(browser, PROMPTS[0])
    browser.until("return !!document.querySelector('#edited-scores table')")
    slow = played.model.register_forward_hook(lambda *_: time.sleep(1))
    try:
        browser.js(
            "const it = document.querySelector('#alpha input[type=range]'); it.value = -90;"
            "it.dispatchEvent(new Event('input', {bubbles: true}));"
            "it.dispatchEvent(new PointerEvent('pointerup', {bubbles: true}));"
        )
        until(lambda: bits(played.model) != before)
        begun = time.monotonic()
        browser.driver.get("about:blank")
        until(lambda: bits(played.model) == before)
        # A whole answer would have taken so many seconds.
        assert time.monotonic() - begun < NEW_TOKENS
        until(lambda: not played.session._answering)
    finally:
        slow.remove()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_signal_closes_the_command_and_is_no_error(folder: Path) -> None:
    program = [str(Path(sys.executable).parent / "sweeps"), "play", "played", "--port", "0"]
    played = subprocess.Popen(
        program, cwd=folder, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert played.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+/\S{20,}/", played.stdout.readline())
    assert address is not None
    until(lambda: answers(address[0]))
    played.send_signal(signal.SIGTERM)
    said, _ = played.communicate(timeout=60)
    assert played.returncode == 0
    assert "closed: the model is bit for bit what was loaded" in said


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=30).status_code == 200
    except requests.ConnectionError:
        return False
