"""Reads the criteria that a sample brings: from a dataset's column, from a label, from a request."""

from __future__ import annotations

from typing import Any, get_args

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin._util.text import encodable
from grm_plugin.config.criteria import LONGEST_NAME, problem_with
from grm_plugin.conversation.plain_json import plain
from grm_plugin.errors import PromptError
from grm_plugin.types import Criterion, CriterionKind

FIELDS = ("name", "text", "weight", "kind")
"""Of a criterion in our own form."""

KINDS: tuple[CriterionKind, ...] = get_args(CriterionKind)


def read_criteria(value: Any) -> tuple[Criterion, ...]:
    """Criteria as the judge takes them.

    Args:
        value: a list of criteria, or such a list as JSON. Each is an object with `name`, `text`, `weight` (1 where it
        is
            absent; below 0, a yes_no is a penalty) and `kind` (scale where it is absent); or a text alone, which is a
            scale of that text.

    Raises:
        PromptError: it is none of these, or a response cannot be scored by them; the message names the criterion.
    """
    if isinstance(value, tuple) and all(isinstance(item, Criterion) for item in value):
        return value  # read before
    value = plain(value)
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = parse_json(value)
        except (RepeatedKey, ValueError) as error:
            raise PromptError(f"criteria are no JSON: {error}") from None
    if not isinstance(value, list):
        raise PromptError(f"criteria must be a list of objects with name and text, not {type(value).__name__}")
    found = tuple(_criterion(item, number) for number, item in enumerate(value))
    if problem := problem_with(found):
        raise PromptError(f"criteria: {problem}")
    return found


def _criterion(item: Any, number: int) -> Criterion:
    where = f"criterion {number}"
    if isinstance(item, str):
        return Criterion(name_of(item, number), encodable(item))
    if not isinstance(item, dict):
        raise PromptError(f"{where} must be an object with name and text, not {type(item).__name__}")
    unknown = [key for key in item if key not in FIELDS]
    if unknown:
        raise PromptError(
            f"{where} has the unknown field {encodable(str(unknown[0]))[:40]!r}: it may have {', '.join(FIELDS)}"
        )
    text, name = item.get("text"), item.get("name")
    if not isinstance(text, str) or not (name is None or isinstance(name, str)):
        raise PromptError(f"{where}: name and text must be texts")
    weight, kind = item.get("weight", 1.0), item.get("kind", "scale")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise PromptError(f"{where}: weight must be a number, not {type(weight).__name__}")
    if kind not in KINDS:
        raise PromptError(f"{where} has the unknown kind {encodable(str(kind))[:40]!r}: one of {', '.join(KINDS[:-1])}")
    if kind == "rule":
        raise PromptError(f"{where}: a rule is named in the configuration (judge.criteria), never in data")
    if weight < 0 and kind in ("yes_no", "penalty"):
        weight, kind = -weight, "penalty"
    return Criterion(encodable(name) if name else name_of(text, number), encodable(text), float(weight), kind)


def name_of(text: str, number: int) -> str:
    """A name for a criterion that has none: its number, and how its text begins."""
    begun = " ".join(encodable(text).split())[: LONGEST_NAME - 12]
    return f"{number + 1} {''.join(filter(str.isprintable, begun))}".strip()
