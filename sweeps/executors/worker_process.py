"""The process behind a worker: `python -P -m sweeps.executors.worker_process DESCRIPTOR BARS`, started by `workers`.

Its pipe brings plans and the ids of cells and takes what happens. Both ends are ours: nothing from a file is
unpickled here.
"""

import os
import pickle
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from types import FrameType

from surgery.errors import InputError
from sweeps.terminal.library_output import quiet_libraries
from sweeps.terminal.output import speak_plainly


def main() -> None:
    """Runs cells until the pipe closes."""
    signal.signal(signal.SIGTERM, _drop)
    pipe = Connection(int(sys.argv[1]))
    inbox: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_listen, args=(pipe, inbox), daemon=True).start()
    from sweeps.executors.group_runner import GroupRunner
    from sweeps.executors.worker_pool import Ready, Refused

    speak_plainly()
    quiet_libraries()
    runner = GroupRunner(pipe.send, bars=sys.argv[2] == "1")
    pipe.send(Ready())
    refused = False
    while True:
        message = pickle.loads(inbox.get())
        if not isinstance(message, str):
            try:
                runner.take(message)
                refused = False
            except InputError as error:
                refused = True
                pipe.send(Refused(str(error)))
        elif not refused:
            try:
                runner.run(message)
            except InputError as error:
                # Not the cell's own fault, else it would be in its record: a full disk, say.
                refused = True
                pipe.send(Refused(str(error)))


def _listen(pipe: Connection, inbox: "queue.Queue[bytes]") -> None:
    while True:
        try:
            inbox.put(pipe.recv_bytes())
        except (EOFError, OSError):
            # Whoever gave the work is gone. An interrupt lets a cell in flight clean up after itself.
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _drop(number: int, frame: FrameType | None) -> None:
    # Once is enough: what cleans up is not to be cut off.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # Nothing is worth the seconds that a tidy end of torch takes.
        sys.stderr.flush()
        os._exit(130)
