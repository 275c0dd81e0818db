"""Short names for contents, by which equal ones are recognised."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(content: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a JSON value: the same for equal values, in every process."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
