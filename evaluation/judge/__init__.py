"""Judges that read a prompt together with its continuation; each loads on first use, since guards bring torch."""

import lazy_loader

__getattr__, __dir__, _names = lazy_loader.attach(
    __name__,
    submod_attrs={
        "guard": ["Guard"],
        "overrefusal": ["RefusedBy"],
        "probe_texts": ["ProbeTexts"],
        "side_by_side": ["SideBySide"],
        "word_list": ["WordList"],
    },
)

__all__ = [
    "asked_judges",
    "known_judges",
    "word_list",
]
