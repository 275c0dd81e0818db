"""Reads the labels of datasets: a reference answer, or an object of it with a rubric, criteria or a source; or
nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin._util.text import encodable, shows_nothing
from grm_plugin.conversation.criteria import read_criteria
from grm_plugin.conversation.plain_json import json_text, plain
from grm_plugin.errors import PromptError
from grm_plugin.types import Criterion

LABEL_FIELDS = ("reference", "rubric", "criteria", "source")
"""The fields of a label that is an object."""

MARKS = ("reference", "rubric", "criteria", "rubrics")
"""One of these at least says that an object is such a label, and no answer in JSON. `rubrics`, with the `query` beside
it that open-instruct's labels have, is another name of `criteria`."""


class Label(NamedTuple):
    """What a label holds: see `types.Sample`."""

    reference: str | None = None
    rubric: str | None = None
    criteria: tuple[Criterion, ...] = ()
    source: str | None = None


NO_LABEL = Label()


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


def read_label(label: Any, rubric: Any = None, criteria: Any = None, source: Any = None) -> Label:
    """What a label holds.

    An object with `reference`, `rubric` and `criteria`, or some of them, has them, and a `source` beside them; so has a
    text that is such an object as JSON. Any other label is the reference.

    Args:
        label: the label.
        rubric: one that stands elsewhere: where both are given, both are shown.
        criteria: those that stand elsewhere, in a form of `read_criteria`; not both there and in the label.
        source: of the task, where it stands elsewhere; the label's counts before it.

    Raises:
        PromptError: an object has one of these fields and others beside them, or a key twice; or the criteria cannot
            be read, or stand in two places.
    """
    nothing = label is None or (isinstance(label, str) and not label)
    if nothing and rubric is None and criteria is None and source is None:  # of most samples
        return NO_LABEL
    label = plain(label)
    found = _as_object(label)
    if found is None:
        return Label(as_reference(label), as_reference(rubric), _criteria(criteria), as_reference(source))
    if "rubrics" in found and "criteria" not in found:
        found = {"criteria": found["rubrics"], **found}
        del found["rubrics"]
        found.pop("query", None)
    unknown = [key for key in found if key not in LABEL_FIELDS]
    if unknown:
        raise PromptError(
            f"the label has the unknown field {encodable(unknown[0])[:40]!r}: a label that is an object with one of "
            f"{', '.join(MARKS[:3])} may have {', '.join(LABEL_FIELDS)} only"
        )
    notes = dict.fromkeys(filter(None, (as_reference(rubric), as_reference(found.get("rubric")))))
    if not is_missing(criteria) and not is_missing(found.get("criteria")):
        raise PromptError("criteria stand in the label and beside it: give them in one place")
    return Label(
        as_reference(found.get("reference")),
        "\n\n".join(notes) or None,
        _criteria(found.get("criteria") if is_missing(criteria) else criteria),
        as_reference(source if is_missing(found.get("source")) else found["source"]),
    )


def _criteria(value: Any) -> tuple[Criterion, ...]:
    return () if is_missing(value) else read_criteria(value)


def _as_object(label: Any) -> dict[str, Any] | None:
    """The label as an object with at least one of `MARKS`; None if it is something else.

    Raises:
        PromptError: one of its keys stands twice.
    """
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            label = parse_json(label)
        except RepeatedKey as error:
            if not any(f'"{key}"' in label for key in MARKS):
                return None  # an answer that is JSON, of a kind
            raise PromptError(f"the label is an object in which {error}") from None
        except ValueError:
            return None
    return label if isinstance(label, dict) and any(key in label for key in MARKS) else None


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
