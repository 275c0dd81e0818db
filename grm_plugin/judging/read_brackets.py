"""Reads n scores in square brackets: `[8, 3]`, `[[8, 3]]`, `Final scores: [8, 3]`.

The brackets end their line. They have it for themselves, begin a sentence, or follow words of scoring; behind words of
quoting ("Response 2 says: [1, 10]") they are no verdict, and citations such as "as in [1]" never are. A heading with
`final`, `overall` or the like marks the final one.
"""

from __future__ import annotations

import re

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote
from grm_plugin.judging.own_words import clause_before, reports, without_quotes
from grm_plugin.judging.sightings import (
    ASCII_TWINS,
    FINAL,
    FINAL_WORDS,
    LINE_END,
    MENTIONED,
    WRITTEN,
    Sighting,
    final_of,
    numbers,
    places,
)

_PLACES = re.compile(r"\[\s*+(?:\[\s*+)?+(?P<inside>[^\[\]\n]*+)\](?:\s*+\])?+")
_NUMERIC = re.compile(r"[-+\s\d.,;/]*+")
_AT_END = re.compile(LINE_END, re.VERBOSE)
_SCORING = re.compile(
    r"\b (?: scor(?:e|es|ed|ing) | rat(?:e|es|ed|ing|ings) | grades? | marks | points | verdict | results? )\b"
    r" | 评分 | 得分 | 分数 | 打分 | 总分",
    re.VERBOSE | re.IGNORECASE,
)
_SIGNS = " \t\r*_`#-•\"'“($\\"


def read_brackets(answer: str, n: int, judge: JudgeConfig) -> tuple[tuple[float, ...], int, int]:
    """The n scores on the judge's scale, where they begin, and where they end.

    Raises:
        NoVote: there are none, another number of them, or one is no score.
    """
    text = without_quotes(answer, keep=_PLACES).translate(ASCII_TWINS)
    found: list[Sighting] = []
    for place in places(_PLACES, text):
        inside = place["inside"]
        numeric = _NUMERIC.fullmatch(inside) is not None
        rank = _rank(text, place.start(), numeric) if _AT_END.match(text, place.end()) else MENTIONED
        if not (rank or numeric):
            continue
        try:
            found.append(Sighting(place.start(), numbers(inside.split(","), n, judge), rank, end=place.end()))
        except NoVote as lost:
            if rank:  # in passing, anything but n scores is something else
                found.append(Sighting(place.start(), None, rank, lost))
    final = final_of(found, answer)
    return final.said or (), final.at, final.end


def _rank(text: str, at: int, numeric: bool) -> int:
    """The rank of brackets that end their line."""
    clause = clause_before(text, at)
    begins = numeric and not clause.strip(_SIGNS)
    if reports(clause) or not (begins or _SCORING.search(clause)):
        return MENTIONED
    heading = clause if clause.strip(_SIGNS) else heading_above(text, at)
    return FINAL if FINAL_WORDS.search(heading) else WRITTEN


def heading_above(text: str, at: int) -> str:
    """The last clause of the nearest line with a word above `at`, if it announces what follows; else empty."""
    above = text[max(0, at - 300) : at].rstrip(" \t\r\n*_`[$\\")
    line = above[above.rfind("\n") + 1 :]
    announces = line.endswith((":", "：")) or line.lstrip().startswith(("#", "**"))
    return clause_before(above, len(above)) if announces else ""
