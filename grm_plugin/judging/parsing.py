r"""Reading a critique: completion text -> `Scores`, or `Unparsed` with the reason. Strict, total, linear in the text.

The verdict is the `\boxed{...}` of the *last* Scores line, and nothing else:

- A Scores line starts with `Scores` or `Score` (also `Final` / `Overall` before it, markdown signs and a list number
  round it, a remark in parentheses after it). The box stands on that line or, after a bare heading, on the next line
  that holds a letter or digit. Two boxes on that line are no verdict: which one counts is a guess.
- The last Scores line is chosen first and checked then, so that a broken verdict never falls back to a draft, to
  per-criterion scores or to text quoted from a response. Quoted lines (`> Scores: ...`) are no Scores lines.
- Behind the box anything may follow (a closing remark, `<|im_end|>`). Before the answer, reasoning that ends in
  `</think>` is skipped; reasoning that never ends has no answer.
- A completion that was cut is `TRUNCATED` even if a box stands in it: nothing says that it was the final one.
- Inside the box: exactly n plain integers 1..10, separated by commas. `7.0` is a decimal, like `7.5`. Full-width
  digits and punctuation read as their ASCII twins; no other digits are known.

What GRMs really write round these rules: DeepSeek-GRM, arXiv 2504.02495, p. 34-40. Every regex quantifier below is
possessive (`*+`): the patterns cannot backtrack.
"""

from __future__ import annotations

import re
from typing import Literal

from grm_plugin.types import DETAIL_CHARS, MAX_SCORE, MIN_SCORE, Completion, Scores, Unparsed, UnparsedReason

# One character for one, so that offsets into the translated text hold in the original.
_ASCII_TWINS = str.maketrans("０１２３４５６７８９，、：＝｛｝．－＼（）", "0123456789,,:={}.-\\()")

_HEADING = re.compile(
    r"""
    ^ [ \t\r#*_`•+\-0-9.)]*+                          # markdown signs, a list number; not ">", which quotes
    (?: (?P<criteria> specific\ criteria | criteria | principles )
      | (?P<analysis> analysis )
      | (?P<scores> (?: final\  | overall\  )?+ scores?+ ) )
    [ \t\r#*_`]*+ (?: \( [^()\n]*+ \) [ \t\r#*_`]*+ )?+
    (?= [:=\\$] | $ )                                 # "Scores are", "Score-wise" and "Analysis of" are prose
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE | re.ASCII,
)
_WORD = re.compile(r"[^\W_]")
_BOX = re.compile(r"\\boxed\s*+\{([^}]*+)\}")
_NUMBER = re.compile(r"-?+[0-9]++(?P<fraction>\.[0-9]++)?+")


class _NoVote(Exception):
    """Carries the reason and the excerpt from the rule that failed up to `parse`."""

    def __init__(self, reason: UnparsedReason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def parse(
    completion: Completion,
    n: int,
    decimals: Literal["reject", "accept"] = "reject",
    scale: tuple[int, int] = (MIN_SCORE, MAX_SCORE),
) -> Scores | Unparsed:
    """Read the scores of n responses off one completion. Never raises.

    Args:
        completion: what the GRM generated, without its prompt.
        n: the number of responses that the GRM was shown.
        decimals: whether 7.5 (and 7.0) is no score, or 7.5. Integers are read either way.
        scale: the lowest and the highest score; training on single responses has another one, 0 and 1.

    Returns:
        n scores on the scale in the order shown, with the texts of the two sections before them (empty if absent); or
        the reason why there is no vote, with an excerpt of what was found instead.
    """
    try:
        answer = _answer(completion)
        plain = answer.translate(_ASCII_TWINS)
        headings = list(_HEADING.finditer(plain))
        verdict = next((heading for heading in reversed(headings) if heading["scores"]), None)
        if verdict is None:
            raise _NoVote(UnparsedReason.NO_SCORES, f"no Scores line: ...{answer[-120:]}")
        values = _values(_box(plain, verdict.end()), n, decimals, scale)
    except _NoVote as lost:
        return Unparsed(lost.reason, completion.text, lost.detail[:DETAIL_CHARS], completion.tokens)
    return Scores(values, *_sections(answer, headings, verdict))


def _answer(completion: Completion) -> str:
    """The completion less its reasoning."""
    text = completion.text
    if completion.finish_reason == "length":
        raise _NoVote(UnparsedReason.TRUNCATED, f"cut by max_tokens: ...{text[-120:]}")
    answer = text.rpartition("</think>")[2]
    if not answer.strip():
        raise _NoVote(UnparsedReason.EMPTY, "nothing after the reasoning" if text.strip() else "")
    if answer.lstrip().startswith("<think>"):
        raise _NoVote(UnparsedReason.NO_SCORES, f"reasoning without </think>: ...{answer[-120:]}")
    return answer


def _box(text: str, start: int) -> str:
    """What stands in the one box of the first line with a word, from `start` on (a bare heading's box comes later)."""
    word = _WORD.search(text, start)
    if word is None:
        raise _NoVote(UnparsedReason.NO_SCORES, "nothing after the Scores heading")
    end = text.find("\n", word.start())
    line = text[start : end if end >= 0 else len(text)]
    boxes = line.count(r"\boxed")
    box = _BOX.match(text, start + line.find(r"\boxed")) if boxes else None
    if box is None:
        raise _NoVote(UnparsedReason.NO_SCORES, f"no complete box on the Scores line: {line.strip()}")
    if boxes > 1:
        raise _NoVote(UnparsedReason.WRONG_COUNT, f"{boxes} boxes on the Scores line: {line.strip()}")
    return box[1]


def _values(content: str, n: int, decimals: Literal["reject", "accept"], scale: tuple[int, int]) -> tuple[float, ...]:
    parts = content.split(",") if content.strip() else []
    if len(parts) != n:
        raise _NoVote(UnparsedReason.WRONG_COUNT, f"{len(parts)} scores for {n} responses: {content}")
    return tuple(_value(part.strip(), decimals, scale) for part in parts)


def _value(part: str, decimals: Literal["reject", "accept"], scale: tuple[int, int]) -> float:
    number = _NUMBER.fullmatch(part)
    if number is None or (number["fraction"] and decimals == "reject"):
        raise _NoVote(UnparsedReason.NOT_INTEGER, f"not {'an integer' if decimals == 'reject' else 'a number'}: {part}")
    value = float(part)  # not int(): that raises beyond 4300 digits
    lowest, highest = scale
    if not lowest <= value <= highest:
        raise _NoVote(UnparsedReason.OUT_OF_RANGE, f"not in {lowest}..{highest}: {part}")
    return value


def _sections(text: str, headings: list[re.Match[str]], verdict: re.Match[str]) -> tuple[str, str]:
    """The texts under the first criteria heading and the first analysis heading before the verdict."""
    before = [heading for heading in headings if heading.start() < verdict.start()]
    criteria = next((heading for heading in before if heading["criteria"]), None)
    analysis = next((heading for heading in before if heading["analysis"]), None)
    until = analysis if analysis and criteria and analysis.start() > criteria.start() else verdict
    return _between(text, criteria, until), _between(text, analysis, verdict)


def _between(text: str, heading: re.Match[str] | None, until: re.Match[str]) -> str:
    return text[heading.end() : until.start()].lstrip(" \t:：=*_`").strip() if heading else ""
