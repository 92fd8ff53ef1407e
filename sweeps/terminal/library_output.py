"""Libraries that would drown what the commands say."""

import os


def quiet_libraries() -> None:
    """Turns off transformers' bars and notices; warnings of others and all errors stay. Imports transformers."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
