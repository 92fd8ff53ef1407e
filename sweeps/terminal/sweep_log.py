"""The log of a sweep: what its commands said, line by line with the time, in a file of its folder."""

import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

LOG = "surgery.log"
OURS = ("sweeps", "evaluation", "surgery")

_log = logging.getLogger(__name__)


@contextmanager
def sweep_log(folder: Path) -> Iterator[None]:
    """Appends what is logged in the body of a `with` to the log of a sweep.

    That is what we say from INFO on, and what libraries warn of. Under `hydra.verbose=true`, which lowers the level of
    all loggers, it is everything that anybody logs, and what we log in detail is shown on stderr too.

    Args:
        folder: of the sweep; made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(folder / LOG, encoding="utf-8", errors="backslashreplace")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    # What is logged from INFO on is said in the terminal already.
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.addFilter(lambda record: record.levelno < logging.INFO)
    loggers = [logging.getLogger(name) for name in OURS]
    levels = [logger.level for logger in loggers]
    logging.getLogger().addHandler(to_file)
    for logger in loggers:
        logger.addHandler(to_stderr)
        if not logger.isEnabledFor(logging.INFO):
            logger.setLevel(logging.INFO)
    try:
        _log.info("llm-surgery %s: %s", version("llm-surgery"), shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
        yield
    except BaseException as error:
        _log.error("ended by %s: %s", type(error).__name__, error)
        raise
    finally:
        logging.getLogger().removeHandler(to_file)
        to_file.close()
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(to_stderr)
            logger.setLevel(level)
