r"""Tells whether a verdict is its judge's last word: what stands below it may take it back, in any form.

A verdict is looked for in the form that was asked for; second thoughts come in any: `8/10`, `\boxed{[8, 3]}`, "Response
1 deserves 8, Response 2 deserves 3", "Response 1 is better", a line of a table, JSON, "wait, I mixed them up". They are
not read but found: the verdict above them gives no vote. Other numbers change nothing: of another count, off the scale,
in a sentence that is not about scores.

Linear in the text: quantifiers are possessive or bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from grm_plugin.judging.answer_text import NoVote
from grm_plugin.judging.boxes import numbers_in_boxes
from grm_plugin.judging.shown_order import LABEL, NAME, place_of
from grm_plugin.types import UnparsedReason

MOST_BELOW = 50_000
"""So many characters may stand below a verdict; with more of them it was no last word."""

_NUM = r"(?<![0-9.])[0-9]{1,4}(?:\.[0-9]{1,4})?(?![0-9])(?:\s?(?:/\s?[0-9]{1,3}|out\ of\ [0-9]{1,3}|points?|分))?+"
_SIGNS = r"[ \t\r*_`$({\[\"'#\\|→-]*+"
_SEPARATOR = r"[ \t*_`$\"'|]{0,9}(?:,|;|/|\||&|\band\b|\bvs\.?|\bversus\b|\bto\b|和|与|-)[ \t*_`$\"'|]{0,9}"
_ABOUT_SCORES = r"""
    (?: scor(?:e[sd]?|ing) | rat(?:e[sd]?|ing|ings) | grades? | marks? | verdict | judge?ment | final | overall
      | (?:re-?)?(?: revise[sd]? | adjust(?:ed)? | corrected | amend(?:ed)? | change[sd]? | update[sd]? )
      | make\ (?:it|that) | i'd\ (?:say|give) | i\ would\ (?:say|give) | deserves? )
    \b [^\n0-9]{0,60}?
  | (?: 评分 | 得分 | 分数 | 打分 | 总分 | 最终 | 修改为? | 改为 | 更正为? | 应[该为是] ) [^\n0-9]{0,20}?
"""
_BEGINS = rf"""
    (?: (?:^|(?<=[.!?。！？])) [ \t\r#>]*+
        (?: (?: so | thus | hence | therefore | rather | now | then | actually ),?\  )?+
      | [:|>→] | (?<![a-z]) (?: {_ABOUT_SCORES} ) ) {_SIGNS}
"""
_ENDS = r"(?= [ \t\r*_`$)}\]\"'|\\]*+ (?: [.,;!。，；)] (?![0-9]) [^\n0-9]{0,80} )?+ (?: < [^<>\n]{0,40} > )?+ \s*? $ )"
_STATED = re.compile(
    rf"{_BEGINS} (?P<numbers> {_NUM} (?: {_SEPARATOR} {_NUM} ){{0,63}} ) {_ENDS}",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_NAMED = re.compile(
    rf"""(?P<label> {LABEL} ) (?:'s)? [*_`"')\]]{{0,4}} [ ]?
    (?: (?:final|overall|revised|corrected|new) [ ] )? (?: scores?|ratings? )? [*_`"')]{{0,4}}
    [ \t]{{0,9}} (?: [:=|-] | is\b | gets?\b | deserves?\b | receives?\b | scores?\b | earns?\b | should\ (?:be|get)\b
      | (?=[0-9]) )
    [ \t*_`"'$(|]{{0,9}} (?: \\boxed\{{ )? (?P<number> {_NUM} )""",
    re.VERBOSE | re.IGNORECASE,
)
_NUMBER_FOR = re.compile(
    rf"(?P<number> {_NUM} ) [ ] (?: for | to ) [ ] (?P<label> {LABEL} )", re.VERBOSE | re.IGNORECASE
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*+\{((?:[^{}]|\{[^{}]{0,80}\}){0,400})\}")
_OBJECT = re.compile(r"\{([^{}]{0,400})\}")
_OF_KEY = re.compile(rf":\s{{0,9}}\"?({_NUM})", re.VERBOSE)
_NUMBER = re.compile(_NUM, re.VERBOSE)
_OUT_OF = re.compile(r"(?:/|out\ of)\s?[0-9]{1,3}|points?|分")
_COMMAND = re.compile(r"\\(?:[a-zA-Z]{1,20}|[ ,;!])|~")

_WINNER = re.compile(
    rf"""
    (?P<label> {LABEL} | (?<![a-z0-9]) [AB] (?![a-z0-9]) ) \ ?
    (?: wins\b | (?:is|was) \ (?! not\b ) (?: \w{{1,15}} \  ){{0,2}}?
        (?: better | best | superior | stronger | preferred | preferable | winner ) \b
      | > \ ? {LABEL} )
    (?= [^\n]{{0,3}} $ | \ ? [.!,;] | \ (?: than | overall | here | after\ all ) \b )
  | \b (?: final | my ) \ (?: answer | verdict | choice | decision | pick ) \ ? (?: is | : ) [ *:\[(]{{0,5}}
    (?P<name> {LABEL} | [AB] ) (?![a-z0-9])
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)

_TAKEN_BACK = re.compile(
    r"""
    (?: ^ | [.!?…] \s{1,4} ) [*_"'(]{0,3} (?: wait | hmm+ | oops | sorry | hold\ on | no,\ wait | correction
        | scratch\ that )
      \s{0,2} (?: [,.:;!…—-] | \b(?:i|let|that|this|these|the)\b | $ )
  | \b (?: mixed | mix | got ) \ (?: \w{1,12}\  ){1,3} (?: up | backwards? | (?:the\ )?wrong\ way ) \b
  | \b (?: the\ )? other\ way\ (?: a?round ) \b
  | \b (?: swap | swapped | reverse | reversed | switch | switched | interchange[d]? | exchange[d]? ) \b
      [^.\n]{0,30} \b (?: scores? | two | them | these | those | numbers | order ) \b
  | \b (?: scores? | numbers | these | they | order ) \b [^.\n]{0,40}
      \b (?: swapped | reversed? | switched | interchanged | inverted | backwards? | the\ wrong\ way ) \b
  | \b first\ (?: score | number ) \b [^.\n]{0,30}
      \b (?: response | answer | assistant | candidate )\ ?(?: 2 | b | two ) \b
  | \b (?: i\ (?: have\ | must\ | will\ | need\ to\ | should\ )? | let\ me\ | i'?ll\ | i'?d\ )
      (?: revise | correct | reconsider | re-?evaluate | re-?score | change | amend ) \b
      [^.\n]{0,40} \b (?: this | these | that | it | scores? | verdict | judge?ment | rating ) \b
  | 弄反 | 颠倒了 | 写反 | 搞混 | 搞反 | 等等 | 应该反过来 | 更正一下
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_KEPT = re.compile(r"\b(?:no|not|never|without|don't|didn't|isn't|aren't|weren't|wasn't)\b|没有|并未|不", re.IGNORECASE)


def check_last_word(below: str, values: Sequence[float], scale: tuple[int, int], numbers: bool = True) -> None:
    """Raises `NoVote` where what stands below a verdict says something else.

    Args:
        below: the text below it, without what it quotes, in ASCII punctuation.
        values: the scores of the verdict.
        scale: its lowest and highest score.
        numbers: whether scores are looked for, or only words that take a verdict back.
    """
    below = below.strip()
    if len(below) > MOST_BELOW:
        raise NoVote(UnparsedReason.AMBIGUOUS, f"{len(below):,} characters below the verdict")
    for words in _TAKEN_BACK.finditer(below):
        line = below.rfind("\n", 0, words.start() + 1) + 1
        if not _KEPT.search(below, max(line, words.start() - 40), words.end()):
            raise NoVote(UnparsedReason.AMBIGUOUS, f"taken back below: {words[0].strip()}")
    for index in _winners(below, len(values)):
        if values[index] < max(values):
            raise NoVote(UnparsedReason.AMBIGUOUS, f"another winner below the verdict: response {index + 1}")
    for stated in _stated(below, len(values)) if numbers else ():
        if tuple(values) != stated and all(scale[0] <= value <= scale[1] for value in stated):
            found = ", ".join(f"{value:g}" for value in stated)
            raise NoVote(UnparsedReason.AMBIGUOUS, f"other scores below the verdict: {found}")


def _winners(text: str, n: int) -> Iterator[int]:
    """The indices of responses that are called the better one."""
    for words in _WINNER.finditer(text) if n > 1 else ():
        place = place_of(words["label"] or words["name"])
        if place <= n:
            yield place - 1


def _stated(text: str, n: int) -> Iterator[tuple[float, ...]]:
    yield from (row for row in numbers_in_boxes(text) if len(row) == n)
    for box in _BOX.finditer(text):
        yield from _of_count(NAME.sub("", _COMMAND.sub(" ", box[1])), n)
    for inside in _OBJECT.finditer(text):
        found = tuple(_value(number) for number in _OF_KEY.findall(NAME.sub("", inside[1])))
        if len(found) == n > 1:
            yield found
    for stated in _STATED.finditer(text):
        yield from _of_count(stated["numbers"], n)
    if n > 1:
        for pattern in (_NAMED, _NUMBER_FOR):
            named = {place_of(found["label"]): _value(found["number"]) for found in pattern.finditer(text)}
            if all(place in named for place in range(1, n + 1)):
                yield tuple(named[place] for place in range(1, n + 1))


def _of_count(text: str, n: int) -> Iterator[tuple[float, ...]]:
    found = tuple(_value(number) for number in _NUMBER.findall(text))
    if len(found) == n:
        yield found


def _value(number: str) -> float:
    return float(_OUT_OF.sub("", number))
