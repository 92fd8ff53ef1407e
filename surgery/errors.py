"""The one exception a person is meant to read."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """What was given can't be used: one sentence with what was given, what is possible and what to do.

    The commands print it without a traceback and exit with 1.
    """


@contextmanager
def foreign_errors(told: str) -> Iterator[None]:
    """Turns whatever another library raises over what a person gave into an InputError.

    For calls of that library alone: what goes wrong in our own code is to be seen as it is. Running out of memory is
    no fault of what was given.

    Args:
        told: the beginning of the sentence, which the error's first line ends.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if "OutOfMemory" in type(error).__name__:
            raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{told}: {reason}") from error
