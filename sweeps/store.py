"""What stages made, keyed by content: outputs/store/<stage>/<key>/."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from sweeps.canonical import canonical_json

IDENTITY = "identity.json"


class Store:
    """Folders that are there whole or not at all, found by the hash of what they were made from.

    Attributes:
        root: the folder of the store.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def path(self, stage: str, identity: Any) -> Path:
        """Where the entry of a stage lies, or would lie."""
        return self.root / stage / sha256(canonical_json(identity).encode()).hexdigest()[:16]

    def has(self, stage: str, identity: Any) -> bool:
        """Whether the entry is there."""
        return (self.path(stage, identity) / IDENTITY).is_file()

    def get_or_make(self, stage: str, identity: Any, make: Callable[[Path], None]) -> Path:
        """The entry's folder; `make` fills a new one when there is none.

        An entry that another process finished meanwhile is kept, and ours dropped: both hold the same.
        """
        place = self.path(stage, identity)
        if self.has(stage, identity):
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            make(temporary)
            (temporary / IDENTITY).write_text(json.dumps(identity, indent=1, sort_keys=True), encoding="utf-8")
            try:
                os.rename(temporary, place)
            except OSError:
                if not self.has(stage, identity):
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return place
