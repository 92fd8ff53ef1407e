"""One vLLM server for all processes of a machine that need the same: the first starts it, it ends with the last.

Whoever uses it holds a lock, which the system takes from a process that dies; a keeper of its own
(`sweeps.serving.server_keeper`) ends the server once nobody does. So Ctrl-C, a kill and a second sweep are one case.
"""

import fcntl
import getpass
import json
import os
import platform
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from evaluation.engines.completions_server import CompletionsServer
from surgery.errors import InputError
from sweeps.cell.canonical_json import canonical_json
from sweeps.serving.engine_version import installed, interpreter
from sweeps.serving.server_keeper import KEEPER, LOG, SPEC, STATE, USERS, write_private
from sweeps.serving.this_node import this_node

# What a server calls its base.
BASE = "base"
# Times that a server is started for the same users: one that died is replaced once.
STARTS = 2
# Seconds until a server that starts has to answer: a large model is read from a slow disk.
STARTING = 3600.0
_LOOK = 0.5
# Seconds until one that was killed is gone.
ENDING = 60.0
# Adapters that a server keeps ready, for each that it computes in one batch.
READY = 4
# The modules that edits and LoRAs change, as vLLM calls them. With the output head among them vLLM 0.32 on a CPU dies
# of two prompts' likelihoods in one batch.
MODULES = ("gate_proj", "up_proj", "gate_up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj")


@dataclass(frozen=True)
class ServerSpec:
    """What a server is started with; equal ones are shared.

    Attributes:
        python: of the environment with vLLM.
        model: the base's folder, absolute.
        fingerprint: of the base, so that a folder that changed is not served from before.
        dtype: as vLLM names it.
        longest: tokens that the model takes; one more is always asked for.
        max_loras, max_lora_rank, arguments: see `EngineSettings`.
    """

    python: str
    model: str
    fingerprint: str
    dtype: str
    longest: int | None
    max_loras: int
    max_lora_rank: int
    arguments: tuple[str, ...]

    def command(self, port: int) -> list[str]:
        """What starts it."""
        name, _ = installed(self.python)
        # The command of the distribution for CPUs asks for the version of the other one, and dies.
        begun = ["-m", "vllm.entrypoints.cli.main", "serve", self.model]
        loras = self.max_loras
        if name != "vllm":
            begun = ["-m", "vllm.entrypoints.openai.api_server", "--model", self.model]
            # On a CPU what is asked of the base beside an adapter gets the last place's adapter (vLLM 0.32: its index
            # is -1 there). Places are taken from the first on, so that the last of so many stays empty.
            loras = READY * self.max_loras + 1
        length = [] if self.longest is None else ["--max-model-len", str(self.longest + 1)]
        return [
            *(interpreter(self.python), *begun),
            *("--host", "127.0.0.1", "--port", str(port), "--served-model-name", BASE, "--dtype", self.dtype),
            *("--enable-lora", "--max-loras", str(loras), "--max-cpu-loras", str(max(loras, READY * self.max_loras))),
            *("--max-lora-rank", str(self.max_lora_rank), "--lora-target-modules", *MODULES),
            *("--generation-config", "vllm", *length, *self.arguments),
        ]


class SharedServer:
    """A process's part in a server; it holds it until it is closed, or ends.

    Args:
        spec: of the server.
        say: told what takes long.
    """

    def __init__(self, spec: ServerSpec, say: Callable[[str], None]) -> None:
        self._spec, self._say = spec, say
        needs = [spec.__dict__, os.environ.get("CUDA_VISIBLE_DEVICES"), this_node()]
        key = sha256(canonical_json(needs).encode()).hexdigest()[:16]
        # Servers of one sweep on several machines, or on other GPUs of one, don't write into the same file.
        self._log = f"vllm-{platform.node()}-{key[:8]}.log"
        self.folder = own_folder(Path(tempfile.gettempdir())) / key
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._users: IO[str] | None = None

    def at(self, logs: Path) -> CompletionsServer:
        """The server: the one that runs, else one that is started.

        Args:
            logs: folder where what it prints is kept, where it is started.

        Raises:
            InputError: when it does not start, or dies again after it was replaced.
        """
        self._hold()
        with FileLock(self.folder / ".starting"):
            state = self._state()
            if state and (found := _running(state)):
                return found
            starts = int(state.get("starts", 0)) if state else 0
            if starts >= STARTS:
                raise InputError(f"the vLLM server died, and so did the one that took its place; see {state['log']}")
            if state:
                self._end(state)
                self._say(f"the vLLM server died (see {state['log']}); another is started")
            return self._start(logs.absolute() / self._log, starts + 1)

    def close(self) -> None:
        """Lets go of it; its keeper ends it where nobody else holds it."""
        if self._users is not None:
            self._users.close()
            self._users = None

    def _hold(self) -> None:
        if self._users is not None:
            return
        users = (self.folder / USERS).open("a")
        try:
            # Alone: what is left of a server that died is of no command that still runs.
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (state := self._state()) and not _running(state):
                (self.folder / STATE).unlink()
        except BlockingIOError:
            pass  # others use it, or its keeper ends it just now
        fcntl.flock(users, fcntl.LOCK_SH)
        self._users = users

    def _state(self) -> Mapping[str, Any]:
        path = self.folder / STATE
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return found

    def _end(self, state: Mapping[str, Any]) -> None:
        """Ends a server that runs and does not answer, and waits until its keeper has seen it."""
        until = time.monotonic() + ENDING
        while (now := self._state()) and "ended" not in now and time.monotonic() < until:
            with suppress(ProcessLookupError):
                os.killpg(int(state["pid"]), signal.SIGKILL)
            time.sleep(_LOOK)

    def _start(self, log: Path, starts: int) -> CompletionsServer:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = CompletionsServer(f"http://127.0.0.1:{port}", secrets.token_hex(16))
        log.parent.mkdir(parents=True, exist_ok=True)
        spec = {
            "command": self._spec.command(port),
            "url": server.url,
            "key": server.key,
            LOG: str(log),
            "starts": starts,
        }
        write_private(self.folder / SPEC, spec)
        (self.folder / STATE).unlink(missing_ok=True)
        self._say(f"starting vLLM, which takes a minute or more; it is told in {log}")
        alive = _start_keeper(self.folder, log)
        until = time.monotonic() + STARTING
        with alive:
            while time.monotonic() < until:
                gone = bool(select.select([alive], [], [], _LOOK)[0])
                state = self._state()
                if gone or "ended" in state:
                    raise InputError(f"vLLM did not start: {_last_error(log)}; see {log}")
                if state and server.alive():
                    return server
        raise InputError(f"vLLM did not answer within {STARTING:.0f} s; see {log}")


def _start_keeper(folder: Path, log: Path) -> IO[bytes]:
    """Starts a server's keeper, which is nobody's child: Ray kills those of a worker that ends.

    Returns:
        What can be read, to its end, once the keeper is gone.
    """
    alive, held = os.pipe()
    try:
        with log.open("ab") as printed:
            subprocess.run(
                [sys.executable, "-P", "-m", KEEPER, str(folder)],
                check=True,
                # It writes nothing there, and keeps it open as long as it lives.
                stdin=held,
                stdout=printed,
                stderr=printed,
                # Ctrl-C is for the command. Its end is seen by the lock.
                start_new_session=True,
            )
    finally:
        os.close(held)
    return os.fdopen(alive, "rb")


def _running(state: Mapping[str, Any]) -> CompletionsServer | None:
    """The server of a state, where it answers."""
    server = CompletionsServer(str(state["url"]), str(state["key"]))
    return server if "ended" not in state and server.alive() else None


def own_folder(temporary: Path) -> Path:
    """This user's folder for what processes share, which nobody else can read; raises InputError for another's."""
    folder = temporary / f"llm-surgery-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise InputError(f"'{folder}' is another user's; set TMPDIR to a folder of your own")
    folder.chmod(0o700)
    return folder


def _last_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "it said nothing")[-300:]
