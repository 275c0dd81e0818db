"""Reads scores that stand beside a word: `Score: 8/10`, `**Rating:** 4`, `[RESULT] 4`; of several, numbered lines.

Of one response it is a line that begins with Score, Rating, Grade or Result, or `[RESULT]`, which marks the final one,
as `Final`, `Overall` and the like do. Of n responses there is a line for each (`Response 2: 8/10`); those below a
heading such as `Final scores:` are the final ones. A denominator must be the end of `judge.scale`, and nothing that
holds a digit may follow: `8-9` is no score.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote, end_of
from grm_plugin.judging.own_words import clause_before, reports, without_quotes
from grm_plugin.judging.sightings import (
    ASCII_TWINS,
    FINAL,
    FINAL_WORDS,
    MENTIONED,
    WRITTEN,
    Sighting,
    final_of,
    number,
    places,
)
from grm_plugin.types import UnparsedReason

_SIGNS = r"[ \t\r\u00a0\u3000\#*_`|•+\-–—\d.)]*+"  # markdown signs, a list number; not ">", which quotes
_FINAL = r"(?: final | overall | total | weighted | revised | corrected | adjusted | updated | comprehensive )"
_LABEL = re.compile(
    rf"""
    (?P<mark> \[ (?: final\ )?+ (?: result | score ) \s*+ [:\]] [:\]\s]*+ )
  | (?P<tag> < (?: score | rating ) > )
  | ^ {_SIGNS} (?P<label> (?: (?: my | the ) \  )?+ (?: {_FINAL} \  )*+
        (?: (?P<weak> result | verdict | evaluation | {_FINAL} (?= [*_`]*+ [:=] ) )
          | (?: scores?+ | ratings?+ | grade | mark ) (?: \ (?:of|for)\ (?:the|this)\ (?:response|answer|assistant) )?+
          | (?: 最终 | 综合 | 总体 )?+ (?: 评分 | 得分 | 分数 | 打分 | 总分 ) ) )
      (?: [*_`]*+ \ is\b :?+
        | [ \t*_`]*+ (?: \( [^()\n]*+ \) [ \t*_`]*+ )?+ (?: [:=] | (?= \r?+ \n ) ) )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(
    rf"""
    ^ {_SIGNS} (?: (?: score | rating ) \ (?: (?:of|for)\ )?+ )?+
    (?: response | assistant | answer | candidate | chatbot | model | 回答 | 回复 ) \ ?+ \#?+
    (?: (?P<number> \d{{1,2}}+ ) | (?P<letter> [A-Za-z] ) ) \b (?: 's )?+ (?: \ (?: score | rating ) )?+
    [ \t*_`]*+ [:=|]
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_NUMBER = r"""
    [*_`|=\[({"']*+ [ \t]*+ (?P<value> [-+]?+ \d++ (?:\.\d++)?+ ) [ \t*_`\])}"']*+
    (?: (?: / | out\ of | of (?=\ \d) ) \s*+ \**+ (?P<top> \d++ ) [ \t*_`\])}"']*+ )?+
    (?: points?+ | pts?+ | stars?+ | 分 )?+ [ \t*_`|]*+ (?: <[^\n\d]*+ )?+
"""
_ON_LINE = re.compile(
    rf"""
    [ \t*_`]*+ {_NUMBER}
    (?= \r?+ (?: \n | \Z ) | [.,;:()—–!。，；] [^\n\d]*+ (?: \n | \Z ) | -\ [^\n\d]*+ (?: \n | \Z ) )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BELOW = re.compile(rf"[ \t\r*_`]*+ \n \s*+ {_NUMBER} [.。]?+ [ \t\r]*+ (?= \n | \Z )", re.VERBOSE | re.IGNORECASE)
_FINAL_HEADING = re.compile(
    rf"^ {_SIGNS} (?: {_FINAL} \  )++ (?: scores?+ | ratings?+ | verdict | evaluation | results?+ ) [ \t*_`:=]*+ $",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_WORD = re.compile(r"[^\W_]")


def read_score(answer: str, n: int, judge: JudgeConfig) -> tuple[tuple[float, ...], int, int]:
    """The n scores on the judge's scale, where they begin, and where they end.

    Raises:
        NoVote: there are none, another number of them, or one is no score.
    """
    text = without_quotes(answer).translate(ASCII_TWINS)
    if n == 1:
        final = final_of(list(_labelled(text, judge)), answer)
        return final.said or (), final.at, final.end
    lines = list(_numbered(text, judge))
    if not lines or sorted({line.index for line in lines}) != list(range(n)):
        found = f"scores of {len({line.index for line in lines})} responses, {n} were shown"
        reason = UnparsedReason.WRONG_COUNT if lines else UnparsedReason.NO_SCORES
        raise NoVote(reason, f"{found}: {end_of(answer)}")
    finals = [final_of([line.score for line in lines if line.index == index], answer) for index in range(n)]
    values = tuple(value for final in finals for value in final.said or ())
    return values, min(final.at for final in finals), max(final.end for final in finals)


def _labelled(text: str, judge: JudgeConfig) -> Iterator[Sighting]:
    for label in places(_LABEL, text):
        clause = clause_before(text, label.start())
        final = label["mark"] or (label["label"] and FINAL_WORDS.search(label["label"]))
        rank = MENTIONED if reports(clause) else FINAL if final else WRITTEN
        sighting = _score_at(text, label, rank, judge)
        if sighting.said is not None or (rank and not label["weak"]):
            yield sighting


@dataclass(frozen=True, slots=True)
class _Line:
    """The score of one response, by its index."""

    index: int
    score: Sighting


def _numbered(text: str, judge: JudgeConfig) -> Iterator[_Line]:
    """The lines with the score of a response; such a line that holds no number is prose."""
    below = 0  # where the scores below the last final heading ended
    headings = iter(_FINAL_HEADING.finditer(text))
    heading = next(headings, None)
    for line in places(_NUMBERED, text):
        while heading is not None and heading.end() <= line.start():
            below, heading = heading.end(), next(headings, None)
        final = below > 0 and not _WORD.search(text, below, line.start())
        value = _ON_LINE.match(text, line.end())
        if value is None:
            continue
        if final:
            below = value.end()
        index = int(line["number"]) - 1 if line["number"] else ord(line["letter"].lower()) - ord("a")
        yield _Line(index, _score_at(text, line, FINAL if final else WRITTEN, judge))


def _score_at(text: str, label: re.Match[str], rank: int, judge: JudgeConfig) -> Sighting:
    """The score behind a label, on its line or the next one with a word."""
    value = _ON_LINE.match(text, label.end()) or _BELOW.match(text, label.end())
    if value is None:
        line = text[label.start() : label.end() + 60]
        return Sighting(label.start(), None, rank, NoVote(UnparsedReason.NO_SCORES, f"no score: {line}"))
    try:
        if value["top"] and float(value["top"]) != judge.scale[1]:
            raise NoVote(UnparsedReason.OUT_OF_RANGE, f"of {value['top']}, but judge.scale is {judge.scale}")
        return Sighting(label.start(), (number(value["value"], judge),), rank, end=value.end())
    except NoVote as lost:
        return Sighting(label.start(), None, rank, lost)
