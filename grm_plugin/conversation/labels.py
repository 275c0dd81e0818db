"""Reads the labels of datasets: a reference answer, a rubric, both in one object, or nothing."""

from __future__ import annotations

from typing import Any

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin._util.text import encodable, shows_nothing
from grm_plugin.conversation.plain_json import json_text, plain
from grm_plugin.errors import PromptError

LABEL_FIELDS = ("reference", "rubric")
"""The fields of a label that is an object."""


def is_missing(value: Any) -> bool:
    """Whether a dataset has nothing here: None, NaN, NaT, pandas.NA, a text in which nothing can be seen, and
    containers of nothing else."""
    return _is_empty(plain(value))


def as_reference(label: Any) -> str | None:
    """A label as text for the GRM: JSON where it is no text, None where it is missing.

    Raises:
        PromptError: it is nested deeper than Python's stack.
    """
    label = plain(label)
    if _is_empty(label):
        return None
    if isinstance(label, bool | int | float | dict | list):
        return json_text(label)
    return encodable(str(label))  # a date or a Decimal is no JSON, and stands for itself


def read_label(label: Any, rubric: Any = None) -> tuple[str | None, str | None]:
    """The reference and the rubric that a label holds.

    An object with `reference` and `rubric`, or one of them, has both; so has a text that is such an object as JSON. Any
    other label is the reference. `rubric` is one that stands elsewhere: where both are given, both are shown.

    Raises:
        PromptError: an object has one of these fields and others beside them, or a key twice.
    """
    if rubric is None and (label is None or (isinstance(label, str) and not label)):  # of most samples
        return None, None
    label = plain(label)
    found = _as_object(label)
    if found is None:
        return as_reference(label), as_reference(rubric)
    unknown = [key for key in found if key not in LABEL_FIELDS]
    if unknown:
        raise PromptError(
            f"the label has the unknown field {encodable(unknown[0])[:40]!r}: a label that is an object with reference "
            "or rubric may have these two only"
        )
    notes = dict.fromkeys(filter(None, (as_reference(rubric), as_reference(found.get("rubric")))))
    return as_reference(found.get("reference")), "\n\n".join(notes) or None


def _as_object(label: Any) -> dict[str, Any] | None:
    """The label as an object with at least one of `LABEL_FIELDS`; None if it is something else.

    Raises:
        PromptError: one of its keys stands twice.
    """
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            label = parse_json(label)
        except RepeatedKey as error:
            if not any(f'"{key}"' in label for key in LABEL_FIELDS):
                return None  # an answer that is JSON, of a kind
            raise PromptError(f"the label is an object in which {error}") from None
        except ValueError:
            return None
    return label if isinstance(label, dict) and any(key in label for key in LABEL_FIELDS) else None


def _is_empty(value: Any) -> bool:
    waiting = [value]  # no recursion: a label may be nested deeply
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif not (value is None or (isinstance(value, str) and shows_nothing(value)) or _is_nan(value)):
            return False
    return True


def _is_nan(value: Any) -> bool:
    try:
        return bool(value != value)
    except Exception:  # whatever a value's own comparison raises: it is a value
        return False
