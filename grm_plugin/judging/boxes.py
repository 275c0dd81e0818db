r"""Reads the numbers in `\boxed{...}`: strictly in the box that was chosen, and which numbers stand in any others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grm_plugin.judging.answer_text import NoVote
from grm_plugin.judging.score_numbers import NUMBER, Decimals, scores_of
from grm_plugin.judging.shown_order import LABEL
from grm_plugin.types import UnparsedReason

_BOX = re.compile(r"\\boxed\s*+\{([^}]*+)\}")
_BOX_OF_NUMBERS = re.compile(r"\\boxed\s*+\{([0-9.,\s+-]*+)\}")
_LIST_OF_NUMBERS = re.compile(r"\[([0-9.,\s+-]*+)\]")
_BETWEEN_BOXES = re.compile(rf"(?:[\s,;:/&|$*`().\\#•·-]|\band\b|[和与及]|{LABEL})*+", re.IGNORECASE | re.ASCII)
LONGEST_GAP = 100
"""Characters between two boxes of a row, with the second one."""


def numbers_in_boxes(text: str) -> Iterator[tuple[float, ...]]:
    r"""What each box holds that holds nothing but numbers; of boxes of one in a row, what they hold together.

    `\boxed{8, 6}` and `\boxed{8}, \boxed{6}` both give (8, 6); between the latter may stand punctuation, line
    breaks and labels ("Response 2:") only.
    """
    row: tuple[float, ...] = ()
    end = 0
    for box in _BOX_OF_NUMBERS.finditer(text):
        numbers = _numbers(box[1])
        if row and len(numbers) == 1 and _BETWEEN_BOXES.fullmatch(text, end, box.start()):
            row += numbers
        else:
            if row:
                yield row
            row = numbers if len(numbers) == 1 else ()
            if len(numbers) > 1:
                yield numbers
        end = box.end()
    if row:
        yield row


def numbers_in_lists(text: str) -> Iterator[tuple[float, ...]]:
    """What each list in square brackets holds that holds nothing but numbers, two or more."""
    for found in _LIST_OF_NUMBERS.finditer(text):
        numbers = _numbers(found[1])
        if len(numbers) > 1:
            yield numbers


def row_end(text: str, start: int, end: int, n: int) -> int:
    r"""Where a row of n boxes of one number ends that begins in the line `text[start:end]`; else `end`."""
    first = _BOX_OF_NUMBERS.search(text, start, end)
    if n == 1 or first is None or text.count(r"\boxed", start, end) != 1:
        return end
    last = first.end()
    for _ in range(n - 1):
        box = _BOX_OF_NUMBERS.search(text, last, last + LONGEST_GAP)
        if box is None or not _BETWEEN_BOXES.fullmatch(text, last, box.start()):
            return end
        last = box.end()
    return last


def _numbers(content: str) -> tuple[float, ...]:
    """The numbers in a box; none where it holds anything else."""
    parts = [part.strip() for part in content.split(",")]
    return tuple(map(float, parts)) if all(map(NUMBER.fullmatch, parts)) else ()


def box_content(text: str, start: int, end: int, n: int) -> str:
    r"""What stands in the box of the line `text[start:end]`, or in its n boxes of one number each.

    The braces of a single box may close further down.

    Raises:
        NoVote: there is no box, or there are several that are not n of one.
    """
    line = text[start:end]
    boxes = line.count(r"\boxed")
    box = _BOX.match(text, start + line.find(r"\boxed")) if boxes else None
    if box is None:
        raise NoVote(UnparsedReason.NO_SCORES, f"no complete box on the Scores line: {line.strip()}")
    if boxes == 1:
        return box[1]
    numbers = _BOX_OF_NUMBERS.findall(line)
    if boxes == n == len(numbers) and [len(row) for row in numbers_in_boxes(line)] == [n]:
        return ",".join(numbers)
    raise NoVote(UnparsedReason.WRONG_COUNT, f"{boxes} boxes on the Scores line: {line.strip()}")


def values_of(content: str, n: int, decimals: Decimals, scale: tuple[int, int]) -> tuple[float, ...]:
    """The n scores of a box.

    Raises:
        NoVote: they are not n, not numbers, or not on the scale.
    """
    return scores_of(content.split(",") if content.strip() else [], n, decimals, scale, content)
