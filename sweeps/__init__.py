"""From one cell to many: plans, records, tracking, tables and the two commands.

What is public stands in `__init__.pyi`. Names load on first use: importing this package must cost the commands nothing.
"""

import lazy_loader

from surgery import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
