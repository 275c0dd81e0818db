"""Finds the lines of a critique that are headings of its parts: criteria, analysis, and verdicts, drafts or final ones.

A heading is a line that starts with a few words, with markdown, HTML or table signs round them and perhaps a remark in
parentheses behind them, followed by a colon, an equals sign, a box or the end of the line. What it is the heading of
is decided by all of its words: "Final scores" is a verdict's, "Final score for tone" is not. Lines that begin with `>`
or a quotation mark quote something and are no headings.

No pattern here can backtrack: quantifiers are possessive, or bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

_SCORES = frozenset({"score", "scores"})
_VERDICTS = frozenset({"verdict", "output"})
_JUDGEMENTS = frozenset({"rating", "ratings", "grade", "grades", "evaluation", "assessment", "judgement", "judgment"})
_ANSWERS = frozenset({"answer", "result", "results", "decision"})
_FINAL = frozenset(
    {
        *("final", "finally", "overall", "total", "weighted", "combined", "aggregate", "aggregated", "comprehensive"),
        *("consolidated", "conclusion", "concluding", "ultimate", "definitive", "output", "verdict", "new", "updated"),
        *("revised", "revision", "corrected", "correction", "correct", "adjusted", "adjustment", "amended", "verified"),
        *("verification", "checked", "check", "checking", "rechecked", "doublechecked", "reviewed", "review"),
        *("reconsidered", "reconsideration", "reconsidering", "reflection", "recalculated", "rescored", "reevaluated"),
        *("reevaluation", "reassessed", "reassessment", "rectified"),
    }
)
_VERBS = frozenset({"are", "is", "be", "would", "should", "will", "follows", "as"})
_FILLERS = frozenset(
    {
        *("the", "a", "an", "my", "our", "and", "so", "thus", "therefore", "hence", "here", "now", "in", "on", "upon"),
        *("after", "following", "i", "give", "assign", "given", "assigned"),
        *("based", "this", "these", "above", "analysis", "for", "of", "all", "both", "two", "responses", "answers"),
    }
)
_KNOWN = _SCORES | _VERDICTS | _JUDGEMENTS | _ANSWERS | _FINAL | _VERBS | _FILLERS

_CHINESE_FINAL = (
    "(?:最终|最后|综合|总体|整体|总|加权|重新|修[正订改]后?|更正后?|[调校][整正]后?|[复审]核后?|验证后?)的?"
)
_CHINESE = re.compile(
    rf"""
    (?: 因此 | 所以 | 综上(?:所述)?+ | 总之 )?+ (?: 我的? | 给出的 | 以下是 )?+
    (?: 各 | 两个? | 所有 | 全部 )?+ (?: 回答 | 回复 | 响应 | 答案 | 候选 )?+ 的?+
    (?: (?P<final> {_CHINESE_FINAL} )++
        (?: (?P<judgement> 评价 | 评定 | 判定 | 裁决 ) | 评分 | 得分 | 分数 | 打分 | 分 )
      | 评分 | 得分 | 分数 | 打分
    ) (?: 结果 )?+ (?: 分别 )?+ (?: 如下 | 为 | 是 )?+
    """,
    re.VERBOSE,
)
_CHINESE_OPENINGS = frozenset({"因此", "所以", "综上", "综上所述", "总之"})
_CHINESE_SECTIONS = dict.fromkeys(("标准", "具体标准", "评分标准", "评价标准", "原则"), "criteria") | {
    "分析": "analysis"
}

_DRAFT = re.compile(
    r"\b(?:draft|initial|preliminary|provisional|tentative|previous|earlier|before|interim|example|not\ final)\b"
    r"|初[步始]|暂定|草稿",
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)
_CHINESE_MARK = re.compile(_CHINESE_FINAL)

_TAGS = (
    "b|strong|i|em|u|p|h[1-6]|li|ul|ol|div|span|td|th|tr|table|tbody|center|mark|font|br"
    "|answer|final_answer|evaluation|judge?ment|assessment|critique|response_evaluation"
)
# Arrows, shapes, dingbats, emoji and what is invisible; not the bars and ornamental quotation marks that quote.
_SIGNS = r"\u2190-\u24ff\u25a0-\u275a\u2761-\u276d\u2770-\u2bff\ufe0f\u200b-\u200f\u2060\ufeff\U0001f000-\U0001faff"
_BEHIND = rf"(?: [ \t\r#*_`|\]>{_SIGNS}] | </?+ (?: {_TAGS} ) > )*+"
_HEADING = re.compile(
    rf"""
    ^ (?: [ \t\r#*_`•·§+\-0-9.)|={_SIGNS}]             # markdown signs, list numbers; not ">", which quotes
        | </?+ (?: {_TAGS} ) \ ?+ /?+ >
        | \( [0-9一二三四五六七八九十]{{1,2}} \) | [一二三四五六七八九十]{{1,2}} , | (?: [a-h] | [ivx]{{1,4}} ) [.)] \ 
        | < [a-z_]{{0,20}}?scores? > (?= [ \t*_]*+ [a-z] )     # before a heading; else it is the heading
      )*+
    [<\[]?+                                            # <scores>, [Scores]
    (?P<words> [a-z一-鿿] [a-z一-鿿 \t_,&'\-]{{0,79}}+ ) {_BEHIND}
    (?: \( (?P<remark> [^()\n]*+ ) \) {_BEHIND} )?+
    (?= (?P<value> [:=\\$] ) | (?P<digit> [0-9] ) | $ )
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE | re.ASCII,
)
_WORD = re.compile(r"[a-z]+|[一-鿿]+")


class Part(Enum):
    """What a heading is the heading of."""

    CRITERIA = auto()
    ANALYSIS = auto()
    SCORES = auto()
    """All responses' scores: whatever follows is meant as a verdict, well written or not."""
    VERDICT = auto()
    """A verdict ("Output", "Overall evaluation") that may be something else than scores."""
    MARK = auto()
    """Nothing by itself ("On reflection:", "Final answer"); above a heading of scores it marks them final."""
    DOUBTFUL = auto()
    """Scores that are final in a way that is not understood ("Final scores once swapped")."""


@dataclass(frozen=True, slots=True)
class Heading:
    """`text[start:words_end]` are signs and words, `text[words_end:end]` signs and the remark. `final`: marked so."""

    part: Part
    final: bool
    start: int
    words_end: int
    end: int


def find_headings(text: str) -> Iterator[Heading]:
    """The headings in `text`, from top to bottom. `text` has ASCII spaces, dashes and punctuation."""
    for match in _HEADING.finditer(text):
        words = _WORD.findall(match["words"].lower().replace("-", "").replace("'", ""))
        part, final = _meaning(words, has_value=match["value"] is not None)
        if match["digit"]:  # "Final scores 8 and 3"; without a colon nothing else is a heading
            part = Part.DOUBTFUL if part is Part.SCORES and final else None
        remark = match["remark"] or ""
        if part is None or (part in (Part.SCORES, Part.VERDICT) and _DRAFT.search(remark)):
            continue
        yield Heading(part, final or _marks(remark), match.start(), match.end("words"), match.end())


def _meaning(words: list[str], has_value: bool) -> tuple[Part | None, bool]:
    if words in (["specific", "criteria"], ["criteria"], ["principles"]):
        return Part.CRITERIA, False
    if words == ["analysis"]:
        return Part.ANALYSIS, False
    latin, chinese = {word for word in words if word.isascii()}, [word for word in words if not word.isascii()]
    if chinese:
        return _chinese_meaning(chinese) if latin <= _KNOWN else (None, False)
    scores, final = not latin.isdisjoint(_SCORES), not latin.isdisjoint(_FINAL)
    if not latin <= _KNOWN:
        return (Part.DOUBTFUL, True) if scores and final and has_value else (None, False)
    if not latin.isdisjoint(_VERBS) and not (scores and final):  # bare "Scores are" is prose
        return (Part.VERDICT if scores and has_value and latin - _SCORES - _VERBS else None), False
    if scores:
        return Part.SCORES, final
    if not final:
        return None, False
    return (Part.MARK if latin.isdisjoint(_VERDICTS | _JUDGEMENTS) else Part.VERDICT), True


def _chinese_meaning(words: list[str]) -> tuple[Part | None, bool]:
    if words[0] in _CHINESE_OPENINGS:  # "综上所述，最终评分为"
        words = words[1:]
    if len(words) != 1:
        return None, False
    if words[0] in _CHINESE_SECTIONS:
        return Part[_CHINESE_SECTIONS[words[0]].upper()], False
    match = _CHINESE.fullmatch(words[0])
    if match is None:
        return None, False
    return (Part.VERDICT if match["judgement"] else Part.SCORES), match["final"] is not None


def _marks(remark: str) -> bool:
    """Whether a remark in parentheses says that the verdict is final: "(after verification)", "（总分）"."""
    words = _WORD.findall(remark.lower().replace("-", ""))
    return not _FINAL.isdisjoint(words) or bool(_CHINESE_MARK.search(remark))
