"""What an edited model is like: takes a model and a tokenizer, returns measurements.

Evaluators (`Continuations`, `Perplexity`, `LmEval`) are checked before any model is loaded and name everything
that can change what they measure. Each returns `Measurement`s with a score for every sample, so that a base
and an edited model are compared on the same samples.

What is public stands in `__init__.pyi`. Names load on first use, so that configs can be checked without torch,
transformers or lm-eval.
"""

from importlib import import_module

import lazy_loader

_by_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Where modules lay that recorded configs name as `_target_`.
_EARLIER = {"imported": "evaluation.scores_from_file", "own": "evaluation.own_files"}


def __getattr__(name: str) -> object:
    return import_module(_EARLIER[name]) if name in _EARLIER else _by_name(name)
