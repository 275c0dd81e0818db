"""What readers of verdicts share: places where a verdict is written, which of them counts, and numbers on a scale.

A reader notes every place (`Sighting`), with what stands there or why it cannot be read. `final_of` chooses: the last
one of the highest rank. All others of that rank must say the same, and so must whatever stands below it; else there is
no vote. So no draft is ever believed, and a broken verdict never falls back to one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote, end_of
from grm_plugin.judging.score_numbers import score_of, scores_of
from grm_plugin.types import UnparsedReason

MENTIONED, WRITTEN, FINAL = 0, 1, 2
"""Ranks: spoken of in passing, which is never a verdict; written as one; marked as the final one."""

ASCII_TWINS = str.maketrans("０１２３４５６７８９，、：＝｛｝．－＼（）［］【】／", "0123456789,,:={}.-\\()[][]/")
"""Full-width digits and punctuation; one character for one, so that offsets hold."""

FINAL_WORDS = re.compile(
    r"\b (?: final(?:ly)? | overall | total | weighted | revised | corrected | adjusted | updated | comprehensive"
    r" | aggregated? ) \b | 最终 | 综合 | 总分 | 总体 | 最后 | 修正",
    re.IGNORECASE | re.VERBOSE,
)
"""A heading with one of these marks the verdict below it as the final one."""

LINE_END = r"""[ \t\r*_`"'”’).,;!\]}|$。]*+ (?: <[|｜/]?+ [\w｜▁-]{1,32}+ [|｜]?+ > [ \t\r]*+ )*+ (?= \n | \Z )"""
"""For verbose patterns: nothing more on the line but markdown signs, punctuation and special tokens."""

MOST_PLACES = 500
"""So many places of an answer are looked at; one with more holds no verdict that could be told."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One place with a verdict: `said` is its content, None with the reason `lost` where that cannot be read."""

    at: int
    said: tuple[float, ...] | None
    rank: int = WRITTEN
    lost: NoVote | None = None
    end: int = 0
    """Where its text ends; what stands below is looked at once more."""
    strength: str = ""
    """What else must be equal for two of them to say the same."""

    def agrees(self, other: Sighting) -> bool:
        """Whether both say the same."""
        return (self.said, self.strength) == (other.said, other.strength)


def final_of(sightings: Sequence[Sighting], answer: str) -> Sighting:
    """The verdict among the sightings, which are in the order of the answer.

    Raises:
        NoVote: there is none, it cannot be read, or another one contradicts it.
    """
    rank = max((sighting.rank for sighting in sightings), default=MENTIONED)
    if rank == MENTIONED:
        raise NoVote(UnparsedReason.NO_SCORES, f"no verdict: {end_of(answer)}")
    final = next(sighting for sighting in reversed(sightings) if sighting.rank == rank)
    if final.said is None:
        raise final.lost or NoVote(UnparsedReason.NO_SCORES, f"no verdict: {end_of(answer)}")
    for other in sightings:
        rival = other.at > final.at or (other.rank == rank and other.said is not None)
        if rival and not other.agrees(final):
            raise NoVote(
                UnparsedReason.AMBIGUOUS, f"verdicts that differ, and none is the final one: {_both(other, final)}"
            )
    return final


def places(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Where a pattern matches.

    Raises:
        NoVote: that is in more than `MOST_PLACES` places.
    """
    for count, place in enumerate(pattern.finditer(text)):
        if count == MOST_PLACES:
            raise NoVote(
                UnparsedReason.AMBIGUOUS, f"more than {MOST_PLACES} places that may be verdicts: {end_of(text)}"
            )
        yield place


def numbers(parts: Sequence[str], n: int, judge: JudgeConfig) -> tuple[float, ...]:
    """The scores of n responses on the judge's scale.

    Raises:
        NoVote: it is another number of them, or one is no score.
    """
    translated = [part.translate(ASCII_TWINS) for part in parts]
    return scores_of(translated, n, judge.decimals, judge.scale, ", ".join(parts))


def number(part: str, judge: JudgeConfig) -> float:
    """One score on the judge's scale.

    Raises:
        NoVote: it is no number, a decimal where `judge.decimals` refuses them, or not on the scale.
    """
    return score_of(part.translate(ASCII_TWINS), judge.decimals, judge.scale)


def _both(one: Sighting, other: Sighting) -> str:
    return " and ".join(
        "?" if each.said is None else ", ".join(f"{value:g}" for value in each.said) for each in (one, other)
    )
