"""Tells whether the words round a verdict name the responses in another order than the one they were shown in.

"Scores (Response 2, Response 1)" means that the first score is the second response's. Such a verdict is not mapped back
but lost: "(Response 2 beats Response 1)" names them in the same order and means something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

_NAMES = (
    r"(?:responses?|answers?|assistants?|candidates?|models?|repl(?:y|ies)|options?|completions?|texts?|r(?=[0-9])"
    r"|回答|回复|响应|答案|候选)"
)
LABEL = rf"(?<![a-z]){_NAMES}[ \t#_\-]*+(?:[0-9]{{1,3}}|[a-j](?![a-z])|one|two|three|four|[一二三四])(?![a-z0-9])"
"""Pattern of a response's name: "Response 2", "Answer B", "R1", "回答二". For `re.IGNORECASE` and `re.ASCII`."""

NAME = re.compile(LABEL, re.IGNORECASE | re.ASCII)

_IN_PARENTHESES = re.compile(r"[(\[]([^()\[\]\n]*+)[)\]]")
_WORD_OF_PLACE = re.compile(r"(?<![A-Za-z0-9])(?:[A-J]|first|second|third|fourth)(?![A-Za-z0-9])")
_PLACE = re.compile(rf"(?<![A-Za-z0-9.])[0-9]{{1,3}}(?![A-Za-z0-9]|\.[0-9])|{_WORD_OF_PLACE.pattern}")
_OTHER_ORDER = re.compile(
    r"revers|swap|invert|opposite|backward|descending|ascending|sorted|ranked|(?:best|worst|last) (?:first|to)"
    r"|倒序|逆序|反序|颠倒|相反|降序|升序",
    re.IGNORECASE,
)
_WORDS = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_NUMERALS = {"one": 1, "two": 2, "three": 3, "four": 4, "一": 1, "二": 2, "三": 3, "四": 4}
_NAMES_ONLY = re.compile(rf"(?:[^\w\n]|_|order|and|{LABEL})*+", re.IGNORECASE)


def names_another_order(before: str, behind: str, n: int) -> bool:
    """Whether the first score may belong to another response than the first one shown.

    Args:
        before: the words of a verdict's line before and between its boxes, without the heading itself.
        behind: those behind its last box, and a remark in parentheses on the next line.
        n: the number of responses.
    """
    remarks_before, remarks_behind = (" ".join(_IN_PARENTHESES.findall(text)) for text in (before, behind))
    if _OTHER_ORDER.search(before) or _OTHER_ORDER.search(remarks_behind):
        return True
    labels = [place_of(label) for label in NAME.findall(before)]
    if labels and labels[0] != 1:
        return True
    named = (
        labels,
        [place_of(label) for label in NAME.findall(behind)],
        [place_of(word) for word in _WORD_OF_PLACE.findall(before)],
        [place_of(word) for word in _PLACE.findall(remarks_before)],
        [place_of(word) for word in _PLACE.findall(remarks_behind)],
    )
    return any(not _ascending(place for place in places if place <= n) for places in named)


def names_only(line: str) -> bool:
    """Whether a line holds names of responses and nothing else, as the head of a table does."""
    return bool(NAME.search(line) and _NAMES_ONLY.fullmatch(line))


def place_of(name: str) -> int:
    """The place, from 1, that a label, a letter, a number or an ordinal names."""
    if name in _WORDS:
        return _WORDS[name]
    number = re.search(r"[0-9]++$", name)
    if number:
        return int(number[0])
    numeral = next((place for word, place in _NUMERALS.items() if name.lower().endswith(word)), None)
    return numeral or ord(name[-1].upper()) - ord("A") + 1


def _ascending(places: Iterable[int]) -> bool:
    return all(one < other for one, other in pairwise(dict.fromkeys(places)))
