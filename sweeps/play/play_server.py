"""The page's server: this machine alone, and nobody without the token of its address."""

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from secrets import compare_digest
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError

if TYPE_CHECKING:
    import gradio
    import uvicorn

HOST = "127.0.0.1"
# Without one a browser asks for /favicon.ico, which lies outside the token.
ICON = '<link rel="icon" href="data:,">'
CSS = Path(__file__).with_name("play_page.css")
# Open streams of a page are cut when the server has waited so many seconds for them.
PATIENCE = 1
# A browser fetches and sends nothing elsewhere, whatever a page of Gradio's may hold.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; manifest-src 'none'; frame-ancestors 'none'"
)
HEADERS = ((b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer"))

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def listen(port: int) -> socket.socket:
    """A port of this machine that nobody else can reach; 0 is any free one.

    Raises:
        InputError: when it is taken, or not for this user.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise InputError(f"port {port} can't be used ({error}); give another with --port, 0 for any free one") from None
    return found


def address(listening: socket.socket, token: str) -> str:
    """Where the page is, with the token."""
    return f"http://{HOST}:{listening.getsockname()[1]}/{token}/"


class Gate:
    """Answers 403 to whatever does not name the token first in its path, before anything behind it sees it.

    Args:
        app: behind it.
        token: of the address.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        named = scope["path"].removeprefix("/").partition("/")[0]
        if not compare_digest(named.encode(), self._token.encode()):
            await _refuse(scope, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


async def _refuse(scope: Message, send: Send) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted, closing one is a 403.
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"open the address that `sweeps play` printed: it has a token\n"})


def make_server(page: "gradio.Blocks", token: str) -> "uvicorn.Server":
    """A server of a page below `/TOKEN/`; `run(sockets=[...])` runs it until Ctrl-C or SIGTERM."""
    import gradio
    import uvicorn
    from fastapi import FastAPI

    behind = FastAPI(openapi_url=None)
    gradio.mount_gradio_app(
        behind,
        page,
        f"/{token}",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        head=ICON,
        css_paths=[CSS],
        theme=gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
    gate = Gate(behind, token)
    return uvicorn.Server(
        uvicorn.Config(gate, log_level="warning", access_log=False, timeout_graceful_shutdown=PATIENCE)
    )
