"""Judges that need no model: numbers made of a response's text, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping


def digest_score(text: str) -> float:
    """A whole number in 1..10, as good as random; different texts get the same one often."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big") % 10 + 1


def length_score(text: str) -> float:
    """The number of characters: the logit of a model that likes long responses."""
    return float(len(text))


PSEUDO_JUDGES: Mapping[str, Callable[[str], float]] = {"digest": digest_score, "length": length_score}
