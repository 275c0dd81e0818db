"""Reads JSON and loses nothing: a key that stands twice in an object is an error, not the last value."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any


class RepeatedKey(ValueError):
    """A key stands twice in one object."""


def parse_json(text: str) -> Any:
    """The value of a JSON text, with NaN where Python wrote a missing value as that, which JSON does not have.

    Raises:
        RepeatedKey: an object has a key twice.
        ValueError: it is no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_nan_or_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise RepeatedKey(f"the key {repeated!r} stands twice: keep one")
    return found


def _nan_or_refuse(constant: str) -> float:
    if constant == "NaN":
        return math.nan
    raise ValueError(f"{constant} is no JSON value")
