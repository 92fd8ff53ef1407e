"""From one cell to many: plans, records, tracking, tables and the two commands.

What is public stands in `__init__.pyi`. Names load on first use: importing this package must cost the commands nothing.
"""

import lazy_loader

import surgery

_by_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    return surgery.__version__ if name == "__version__" else _by_name(name)
