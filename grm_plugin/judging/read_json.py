"""Reads scores from JSON: `{"scores": [8, 3]}`, `{"response_1": 8, "response_2": 3}`, `{"score": 8}`, `[8, 3]`.

An object or array begins its line, or follows a colon (`Scores: [8, 3]`); it may stand in a code block. Other keys
(`"reasoning"`) are passed over, but a key that stands twice costs the vote. JSON without scores is no verdict; what
begins like JSON with scores and is none is a verdict that cannot be read.
"""

from __future__ import annotations

import json
import re
from typing import Any

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote, end_of
from grm_plugin.judging.json_scores import object_of, scores_in
from grm_plugin.judging.own_words import clause_before, reports, without_quoted_blocks
from grm_plugin.judging.sightings import LINE_END, MENTIONED, MOST_PLACES, WRITTEN, Sighting, final_of, numbers
from grm_plugin.types import UnparsedReason

_OPENS = re.compile(r"""\{\s*+["}] | \[\s*+[-\d{"] | ^[ \t]*+(?P<other>\{\s*+['\w])""", re.VERBOSE | re.MULTILINE)
_BEFORE = re.compile(r"(?:[\s*_`#\-]*+ | .*? [:=] [\s*_`]*+ | [\s`]*+ json [\s`]*+ )", re.VERBOSE | re.IGNORECASE)
_WITH_SCORES = re.compile(r"[{\[][^\n]{0,80}?(?:score|rating|response|grade)|\{\s*[\"']|\[\s*-?\d", re.IGNORECASE)
_AT_END = re.compile(LINE_END, re.VERBOSE)


def read_json(answer: str, n: int, judge: JudgeConfig) -> tuple[tuple[float, ...], int, int]:
    """The n scores on the judge's scale, where they begin, and where they end.

    Raises:
        NoVote: there are none, another number of them, or one is no score.
    """
    text = without_quoted_blocks(answer)
    found: list[Sighting] = []
    at = looked_at = 0
    while opening := _OPENS.search(text, at):
        looked_at += 1
        if looked_at > MOST_PLACES:  # each may take time in proportion to the whole text
            raise NoVote(UnparsedReason.AMBIGUOUS, f"more than {MOST_PLACES} pieces of JSON: {end_of(answer)}")
        start = opening.start("other") if opening["other"] else opening.start()
        clause = clause_before(text, start)
        rank = WRITTEN if _BEFORE.fullmatch(clause) and not reports(clause) else MENTIONED
        value, at, problem = _decoded(text, start) if not opening["other"] else (None, start + 1, "no JSON")
        if not problem:
            bare = isinstance(value, list) and not _AT_END.match(text, at)  # "[1] Smith et al." is a citation
            found += _sighting(value, (start, at), MENTIONED if bare else rank, n, judge)
            continue
        if rank and _WITH_SCORES.match(text, start):
            line_end = text.find("\n", start)
            at = max(at, line_end if line_end >= 0 else len(text))
            found.append(Sighting(start, None, rank, NoVote(UnparsedReason.NO_SCORES, problem)))
    final = final_of(found, answer)
    return final.said or (), final.at, final.end


def _decoded(text: str, start: int) -> tuple[Any, int, str]:
    """The JSON value that begins at `start` and where it ends; or where it breaks off, and what is wrong with it.

    Nothing before the place where it breaks off is looked at again: that would take quadratic time.
    """
    try:
        return (*_DECODER.raw_decode(text, start), "")
    except json.JSONDecodeError as error:
        return None, max(start + 1, error.pos), f"JSON that is not complete: {text[start : start + 80]}"
    except RecursionError:
        return None, len(text), "JSON that is nested too deep"


# Numbers stay texts, so that they are read as they were written: 7.0 is a decimal, 1e1 is no score.
_DECODER = json.JSONDecoder(object_pairs_hook=object_of, parse_int=str, parse_float=str, parse_constant=str)


def _sighting(value: Any, span: tuple[int, int], rank: int, n: int, judge: JudgeConfig) -> list[Sighting]:
    """The one verdict of a JSON value; none where it holds no scores."""
    try:
        parts = scores_in(value)
        return [] if parts is None else [Sighting(span[0], numbers(parts, n, judge), rank, end=span[1])]
    except NoVote as lost:
        return [Sighting(span[0], None, rank, lost)] if rank else []
