"""Model surgery: change a language model's behavior by adding a probe's direction to a few of its rows.

The method of Wang et al., "Model Surgery: Modulating LLM's Behavior via Simple Parameter Editing"
(NAACL 2025, arXiv 2407.08770), Equations 1 to 3.

What is public stands in `__init__.pyi`. Names load on first use, so that `import surgery` stays free of torch for the
commands that don't need it.
"""

import lazy_loader

_by_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _by_name(name)
    from importlib.metadata import version

    return version("llm-surgery")
