"""Where Python processes look for modules."""

import os


def import_packages_only() -> None:
    """Keeps files of the working directory from being imported by the Python processes that this one starts.

    `python -m` and `python -c`, and so each process that multiprocessing spawns, look there first: a `surgery.py` or
    a `json.py` that lies there would be taken for the real one.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
