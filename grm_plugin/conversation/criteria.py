"""Reads the criteria that a sample brings: from a dataset's column, from a label, from a request."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin._util.text import encodable
from grm_plugin.config.criteria import LONGEST_NAME, LONGEST_TEXT, problem_with
from grm_plugin.conversation.plain_json import plain
from grm_plugin.errors import PromptError
from grm_plugin.types import Criterion, CriterionKind

FIELDS = ("name", "text", "weight", "kind")
"""Of a criterion in our own form."""

KINDS: tuple[CriterionKind, ...] = get_args(CriterionKind)

LISTS = ("criteria", "rubrics")
"""Fields of an object that hold the list."""

OTHER_FORMS = {
    # HealthBench (arXiv 2505.08775), RubricHub (2601.08430), verl-rubric: what is asked, its points, and tags
    "criterion": ("title", "points"),
    # Rubrics as Rewards (arXiv 2507.17746), open-instruct: a title, what is asked, and its weight
    "description": ("title", "weight"),
}
"""Field with the text -> fields of name and weight. What these ask is answered by yes or no."""

_RULE_LINE = re.compile(r"^\s*\d{1,3}[.)]\s*(?P<text>\S.*?)\s*\[(?P<kind>Hard Rule|Principle)\]\s*$", re.IGNORECASE)
"""A line of OpenRubrics' rubrics (arXiv 2510.07743): a hard rule is fulfilled or not, a principle more or less."""


def read_criteria(value: Any) -> tuple[Criterion, ...]:
    """Criteria as the judge takes them.

    Args:
        value: a list of criteria, or such a list as JSON, or an object that has it under `criteria` or `rubrics`. Each
            is an object with `name`, `text`, `weight` (1 where it is absent; below 0, a yes_no is a penalty) and `kind`
            (scale where it is absent); or a text alone, which is a scale of that text. A field that is None is absent:
            tables fill up the fields that other rows have. Items of public data sets are read too (`OTHER_FORMS`), and
            so are OpenRubrics' texts, with a line for each.

    Raises:
        PromptError: it is none of these, or a response cannot be scored by them; the message names the criterion.
    """
    if isinstance(value, tuple) and all(isinstance(item, Criterion) for item in value):
        return value  # read before
    value = plain(value)
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, dict):
        value = next((value[name] for name in LISTS if name in value), value)
    if not isinstance(value, list):
        raise PromptError(f"criteria must be a list of objects with name and text, not {type(value).__name__}")
    found = tuple(_criterion(item, number) for number, item in enumerate(value))
    if problem := problem_with(found):
        raise PromptError(f"criteria: {problem}")
    return found


def _parsed(text: str) -> Any:
    """What a text holds: JSON, or lines that end in the kind of each rule."""
    if text.lstrip().startswith(("[", "{")):
        try:
            return parse_json(text)
        except (RepeatedKey, ValueError) as error:
            raise PromptError(f"criteria are no JSON: {error}") from None
    lines = [_RULE_LINE.match(line[:LONGEST_TEXT]) for line in text.splitlines()]
    kinds = {"hard rule": "yes_no", "principle": "scale"}
    return [{"text": line["text"], "kind": kinds[line["kind"].lower()]} for line in lines if line] or text


def _criterion(item: Any, number: int) -> Criterion:
    where = f"criterion {number}"
    if isinstance(item, str):
        return Criterion(name_of(item, number), encodable(item))
    if not isinstance(item, dict):
        raise PromptError(f"{where} must be an object with name and text, not {type(item).__name__}")
    item = _in_own_form({key: field for key, field in item.items() if field is not None}, number)
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
    return Criterion(encodable(name) if name else name_of(text, number), encodable(text), _as_float(weight), kind)


def _as_float(weight: float) -> float:
    try:
        return float(weight)
    except OverflowError:  # a whole number of 400 digits
        return math.inf


def _in_own_form(item: dict[str, Any], number: int) -> dict[str, Any]:
    """An item of `OTHER_FORMS` as one of our own. Fields of our own form count in it too; further ones, such as tags,
    say nothing to a judge."""
    form = next((name for name in OTHER_FORMS if name in item and "text" not in item), None)
    if form is None:
        return item
    name, weight = OTHER_FORMS[form]
    text, title = item[form], item.get(name)
    named = name_of(title if isinstance(title, str) and title.strip() else str(text), number)
    own = {key: item[key] for key in FIELDS if key in item}
    return {"name": named, "text": text, "weight": item.get(weight, 1.0), "kind": "yes_no", **own}


def name_of(text: str, number: int) -> str:
    """A name for a criterion that has none: its number, and how its text begins."""
    begun = " ".join(encodable(text).split())[: LONGEST_NAME - 12]
    return f"{number + 1} {''.join(filter(str.isprintable, begun))}".strip()
