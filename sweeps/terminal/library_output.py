"""What is warned of, without what would drown what the commands say."""

import os
import re
import warnings
from typing import Any

from surgery.errors import SurgeryWarning

_as_python_formats = warnings.formatwarning


def quiet_libraries() -> None:
    """Turns off transformers' bars and notices; warnings of others and all errors stay. Imports transformers.

    Our own warnings are a sentence, without the line of Python they come from. What torch warns of may end in the
    stack of its C++ functions, a screen of addresses: that is left out.
    """
    warnings.formatwarning = _formatted
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _formatted(message: Warning | str, category: type[Warning], *where: Any, **others: Any) -> str:
    """Ours as a sentence; another as Python formats it, up to where C++ frames begin."""
    if issubclass(category, SurgeryWarning):
        return f"{message}\n"
    text = re.split(r"\s*(?:\(?Exception raised from |frame #\d+: )", str(message), maxsplit=1)[0]
    return _as_python_formats(text, category, *where, **others)
