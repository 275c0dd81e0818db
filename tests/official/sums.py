"""What the official code is given of an item's votes: one number per response, or nothing where all votes are lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from support.official_pins import Pin

Sums = list[float] | None


def summed(votes: Sequence[Mapping[str, Any]]) -> Sums:
    """The sums of the scores of the votes that are there."""
    given = [vote["scores"] for vote in votes if vote["scores"] is not None]
    return [float(sum(scores)) for scores in zip(*given, strict=True)] or None


def averaged(votes: Sequence[Mapping[str, Any]]) -> Sums:
    """Their means: sums of unequal numbers of votes cannot be compared from item to item."""
    sums, count = summed(votes), sum(vote["scores"] is not None for vote in votes)
    return None if sums is None else [total / count for total in sums]


def means_of(pin: Pin, item: str) -> Sums:
    """The means of an item of a pin."""
    return averaged((pin.votes or {})[item])


def sums_of(pin: Pin, item: str) -> Sums:
    """The sums of an item of a pin."""
    return summed((pin.votes or {})[item])
