"""Model surgery: change a language model's behavior by adding a probe's direction to a few of its rows.

The method of Wang et al., "Model Surgery: Modulating LLM's Behavior via Simple Parameter Editing"
(NAACL 2025, arXiv 2407.08770), Equations 1 to 3.

What is public stands in `__init__.pyi`. Names load on first use, so that `import surgery` stays free of torch for the
commands that don't need it.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = version("llm-surgery")
except PackageNotFoundError:  # a checkout that was not installed
    __version__ = "0+unknown"
