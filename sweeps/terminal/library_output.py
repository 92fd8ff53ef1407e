"""Libraries that would drown what the commands say."""

import os
import re
import warnings
from typing import Any

_as_python_formats = warnings.formatwarning


def quiet_libraries() -> None:
    """Turns off transformers' bars and notices; warnings of others and all errors stay. Imports transformers.

    What torch warns of may end in the stack of its C++ functions, a screen of addresses: that is left out.
    """
    warnings.formatwarning = _without_frames
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _without_frames(message: Warning | str, *where: Any, **others: Any) -> str:
    """As Python formats a warning, up to where C++ frames begin."""
    text = re.split(r"\s*(?:\(?Exception raised from |frame #\d+: )", str(message), maxsplit=1)[0]
    return _as_python_formats(text, *where, **others)
