"""Makes plain JSON values of what frameworks hold (numpy, pandas, pydantic), and names what was sent by its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.errors import PromptError

_MISSING_TYPES = ("NAType", "NaTType")
"""Names of the types of pandas.NA and pandas.NaT, which have no value that could be compared."""

TOO_DEEP = "it is nested too deeply"


def plain(value: Any) -> Any:
    """The value with dicts, lists, texts, numbers, booleans and None in place of what stands for them.

    Arrays become lists, and NaT and pandas.NA None; NaN stays a float. What is no JSON value at all stays as it is.
    """
    if value is None or isinstance(value, str):  # most of what is sent: a tenth of the time
        return value
    outermost = [value]
    waiting: list[tuple[Any, Any]] = [(outermost, 0)]  # no recursion: a value may be nested deeper than Python's stack
    while waiting:
        holder, key = waiting.pop()
        inner = holder[key] = _shallow(holder[key])
        if isinstance(inner, dict):
            waiting.extend((inner, name) for name in inner)
        elif isinstance(inner, list):
            waiting.extend((inner, index) for index in range(len(inner)))
    return outermost[0]


def json_text(value: Any) -> str:
    """A plain value as JSON for a reader: characters stay as they are, what JSON has no notation for is named.

    Raises:
        PromptError: it is nested deeper than Python's stack.
    """
    try:
        return encodable(json.dumps(value, ensure_ascii=False, default=str))
    except RecursionError:
        raise PromptError(TOO_DEEP) from None


def identity_of(*sent: Any) -> str:
    """A name for what a framework sent: equal exactly for equal JSON values, NaN being equal to NaN.

    Raises:
        PromptError: it holds something that JSON cannot hold, or is nested deeper than Python's stack.
    """
    try:
        text = json.dumps(plain(sent), sort_keys=True, default=_refuse)
    except RecursionError:
        raise PromptError(TOO_DEEP) from None
    return hashlib.sha256(text.encode()).hexdigest()


def _shallow(value: Any) -> Any:
    """The value with a dict or a list of its own in the place of a container; what is in it stays as it is."""
    if value is None or isinstance(value, str | bytes | bytearray):
        return value
    if hasattr(value, "tolist"):  # numpy's arrays and scalars, torch's tensors
        return _shallow(value.tolist())
    if hasattr(value, "model_dump"):  # pydantic, of which the clients of OpenAI make their messages
        return value.model_dump()
    if isinstance(value, Mapping):
        return {str(key): inner for key, inner in value.items()}
    if isinstance(value, Sequence):
        return list(value)
    if isinstance(value, Set):
        return sorted(value, key=repr)
    return None if type(value).__name__ in _MISSING_TYPES else value


def _refuse(value: object) -> None:
    raise PromptError(f"a message holds a {type(value).__name__}, which is no JSON value")
