"""One way to write a value as JSON, so that equal values have equal hashes."""

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces; raises ValueError for NaN, which equals nothing, and TypeError for what is no JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
