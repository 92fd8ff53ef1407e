"""The process that a server is a child of: `python -P -m sweeps.serving.server_keeper FOLDER`.

It starts the server, notes how it ends, and ends it once nobody holds the folder's lock.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

KEEPER = "sweeps.serving.server_keeper"
# Files of the folder: what to start; the server that runs, or how it ended; what its users hold.
SPEC, STATE, USERS = "spec.json", "state.json", "users"
# In the spec and the state: where what the server prints goes.
LOG = "log"
# Seconds: between two looks; that a server has to end by itself.
_LOOK, _GRACE = 0.5, 15.0


def main() -> None:
    """Keeps a server until it ends, or is not used any more."""
    if os.fork():
        os._exit(0)  # whoever started it waits for this one
    signal.signal(signal.SIGTERM, _end)
    folder = Path(sys.argv[1])
    spec = json.loads((folder / SPEC).read_text(encoding="utf-8"))
    # The key is no argument: those can be read by anybody on the machine.
    ours = {"VLLM_API_KEY": spec["key"], "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1", "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    server = subprocess.Popen(
        # Its own input is what tells that it lives.
        spec["command"],
        cwd=folder,
        env={**quiet, **kept, **ours},
        stdin=subprocess.DEVNULL,
        process_group=0,
    )
    state = {name: spec[name] for name in ("url", "key", LOG, "starts")} | {"pid": server.pid}
    try:
        write_private(folder / STATE, state)
        with (folder / USERS).open("a") as users:
            while True:
                try:
                    code = server.wait(_LOOK)
                except subprocess.TimeoutExpired:
                    if _unused(users):
                        _stop(server)
                        (folder / STATE).unlink()
                        return
                else:
                    write_private(folder / STATE, state | {"ended": code})
                    return
    finally:
        _stop(server)


def _unused(users: object) -> bool:
    """Whether nobody holds the lock; it is held then, so that who comes waits until the server has ended."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[arg-type]
    except BlockingIOError:
        return False
    return True


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """Ends a server with all processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(_GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def write_private(path: Path, said: Mapping[str, object]) -> None:
    """Writes JSON that this user alone can read, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(said, file)
    fresh.replace(path)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(1)


if __name__ == "__main__":
    main()
