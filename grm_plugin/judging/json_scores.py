"""Finds the scores in a JSON value: a list of them, one under `score`, or one under the name of each response.

Keys are in small letters, and every number is still the text that was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from grm_plugin.judging.answer_text import NoVote
from grm_plugin.types import UnparsedReason

_REVISED = ("revised", "corrected", "adjusted", "updated", "new", "final")
_SCORE_KEYS = (
    "score",
    "rating",
    "grade",
    "overall_score",
    "final_score",
    "total_score",
    "overall",
    *(f"{word}_score" for word in _REVISED),
)
_LIST_KEYS = (
    "scores",
    "ratings",
    "grades",
    "final_scores",
    "overall_scores",
    *(f"{word}_scores" for word in _REVISED),
    *_REVISED,
)
_RESPONSE_KEY = re.compile(
    r"""
    (?: (?: score | rating ) [ _\-] (?: of[ _\-] | for[ _\-] )?+ )?+
    (?: (?: response | assistant | answer | candidate | model | chatbot | option ) (?: [ _\-] | (?=[0-9]) ) )?+
    (?: (?P<number> [0-9]{1,2} ) | (?P<letter> [a-z] ) )
    (?: [ _\-] (?: score | rating ) )?+
    """,
    re.VERBOSE,
)
_INDEX_KEYS = ("response", "id", "index", "response_id", "number", "name")


@dataclass(frozen=True, slots=True)
class Repeated:
    """Stands for an object in which a key stands twice: which one counts is a guess."""

    key: str


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Repeated:
    """An object with its keys in small letters."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = key.strip().casefold()
        if name in found:
            return Repeated(name)
        found[name] = value
    return found


def scores_in(value: Any) -> list[str] | None:
    """The scores in the order of the responses, as texts; None where it holds none.

    Raises:
        NoVote: it holds some that cannot be told.
    """
    if isinstance(value, Repeated):
        raise NoVote(UnparsedReason.AMBIGUOUS, f"the key {value.key!r} stands twice")
    if isinstance(value, str | bool | None):
        return None
    if isinstance(value, list):
        return _scores_in_list(value)
    listed = [value[key] for key in _LIST_KEYS if key in value]
    single = [value[key] for key in _SCORE_KEYS if key in value]
    named = {number: value[key] for key in value if (number := _number_of(key)) is not None}
    ways = len(listed) + len(single) + bool(named)
    if not ways:
        return None
    if ways > 1 or len(named) < sum(_number_of(key) is not None for key in value):
        raise NoVote(UnparsedReason.AMBIGUOUS, f"scores under several keys: {', '.join(value)}")
    if single:
        return [_text(single[0])]
    if named:
        return _in_order(named)
    (inside,) = listed
    if isinstance(inside, dict):
        return _in_order({_number_of(key) or 0: inside[key] for key in inside})
    parts = _scores_in_list(inside) if isinstance(inside, list) else None
    if parts is None:
        raise NoVote(UnparsedReason.NOT_INTEGER, f"no list of scores: {str(inside)[:80]}")
    return parts


def _scores_in_list(items: list[Any]) -> list[str] | None:
    if items and all(isinstance(item, dict) and any(key in item for key in _SCORE_KEYS) for item in items):
        names = [next((item[key] for key in _INDEX_KEYS if key in item), None) for item in items]
        if any(name is None for name in names):
            return [_text(item) for item in items]
        return _in_order({_number_of(str(name).casefold()) or 0: item for name, item in zip(names, items, strict=True)})
    scores = [item for item in items if isinstance(item, str) and item[:1] in set("-0123456789")]
    return [_text(item) for item in items] if len(scores) == len(items) and items else None


def _in_order(named: dict[int, Any]) -> list[str]:
    if sorted(named) != list(range(1, len(named) + 1)):
        raise NoVote(UnparsedReason.WRONG_COUNT, "scores whose keys do not name the responses 1, 2, ...")
    return [_text(named[number]) for number in sorted(named)]


def _text(score: Any) -> str:
    if isinstance(score, dict):
        inside = [score[key] for key in _SCORE_KEYS if key in score]
        score = inside[0] if len(inside) == 1 else None
    if not isinstance(score, str):
        raise NoVote(UnparsedReason.NOT_INTEGER, f"no score: {str(score)[:80]}")
    return score


def _number_of(key: str) -> int | None:
    """The number of the response that a key names: of `response_2`, `2`, `assistant_b` or `b`."""
    found = _RESPONSE_KEY.fullmatch(key)
    if found is None:
        return None
    return int(found["number"]) if found["number"] else ord(found["letter"]) - ord("a") + 1
