"""Reads scores as they are written: plain numbers, exactly n of them, each on the scale."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from grm_plugin.judging.answer_text import NoVote
from grm_plugin.types import UnparsedReason

Decimals = Literal["reject", "accept"]
"""What a score such as 7.5 means, see `judge.decimals`."""

NUMBER = re.compile(r"-?+[0-9]++(?P<fraction>\.[0-9]++)?+")


def scores_of(
    parts: Sequence[str], n: int, decimals: Decimals, scale: tuple[int, int], written: str
) -> tuple[float, ...]:
    """The scores of n responses. `written` is how they stand in the answer, for the reason of a missing vote.

    Raises:
        NoVote: it is another number of them, or one is no score.
    """
    if len(parts) != n:
        raise NoVote(UnparsedReason.WRONG_COUNT, f"{len(parts)} scores for {n} responses: {written}")
    return tuple(score_of(part.strip(), decimals, scale) for part in parts)


def score_of(part: str, decimals: Decimals, scale: tuple[int, int]) -> float:
    """One score.

    Raises:
        NoVote: it is no number, a decimal where these are refused, or not on the scale.
    """
    number = NUMBER.fullmatch(part)
    if number is None or (number["fraction"] and decimals == "reject"):
        raise NoVote(UnparsedReason.NOT_INTEGER, f"not {'an integer' if decimals == 'reject' else 'a number'}: {part}")
    value = float(part)  # not int(): that raises beyond 4300 digits
    lowest, highest = scale
    if not lowest <= value <= highest:
        raise NoVote(UnparsedReason.OUT_OF_RANGE, f"not in {lowest}..{highest}: {part}")
    return value
