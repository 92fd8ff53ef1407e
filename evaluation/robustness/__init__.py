"""How quickly a behavior comes back by training on it; loads on first use, since training brings torch."""

import lazy_loader

__getattr__, __dir__, _names = lazy_loader.attach(__name__, submod_attrs={"relearning": ["Relearning"]})

__all__ = [
    "relearned_names",
]
