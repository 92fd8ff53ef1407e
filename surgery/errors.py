"""The exception and the warning that a person is meant to read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

# What torch's CPU allocator, oneDNN and C++ say when there is no memory, each in a plain RuntimeError. oneDNN says of a
# primitive's *descriptor* that it could not be created where it does not know the operation.
_NO_MEMORY = re.compile(
    r"(?:can't|cannot) allocate memory|DefaultCPUAllocator: not enough memory|bad_alloc|bad allocation"
    r"|could not (?:create|execute|initialize) a (?:memory\b|primitive(?! descriptor))",
    re.IGNORECASE,
)


class InputError(ValueError):
    """What was given can't be used: one sentence with what was given, what is possible and what to do.

    The commands print it without a traceback and exit with 1.
    """


class SurgeryWarning(UserWarning):
    """Something that a person should know of a result that stands: one sentence.

    The commands print it without the line of Python that it was raised in.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator, torch's CPU allocator, oneDNN or Python was refused memory."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None


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
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{told}: {reason}") from error
