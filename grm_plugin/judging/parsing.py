r"""Reading a critique: completion text -> `Scores`, or `Unparsed` with the reason. Strict, total, linear in the text.

A verdict is `\boxed{...}` with n scores, or n boxes of one, under a heading of scores (`judging.headings`): on its
line, or after a bare heading on the next line that holds a letter or digit. Which one counts:

- The last heading of scores is chosen first and checked then, so that a broken verdict never falls back to a draft, to
  per-criterion scores or to text quoted from a response. "Output", "Verdict" and the like count where n scores follow.
- Where another verdict stands above it with other scores, it counts if its heading marks it final (final, overall,
  revised, after verification ...), and else none does: which one is meant is a guess. The same verdict twice is one.
- Where other n scores stand below it in a box, in square brackets or on a final line, none counts: it was a draft.
  Boxes of another length ("the best one is \boxed{1}") and quoted lines (`> ...`) change nothing.
- Where the words round the box name the responses in another order than shown, it does not count.

Before the answer, reasoning is skipped; reasoning that never ends has no answer. A completion that was cut has no
verdict even if a box stands in it: nothing says that it was the final one (`judging.answer_text`).

Inside the box: exactly n plain integers 1..10, separated by commas. `7.0` is a decimal, like `7.5`. Full-width digits
and punctuation read as their ASCII twins; no other digits are known.

What GRMs really write round these rules: DeepSeek-GRM, arXiv 2504.02495, p. 34-40.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from grm_plugin.judging.answer_text import NoVote, answer_of, end_of
from grm_plugin.judging.boxes import box_content, numbers_in_boxes, numbers_in_lists, row_end, values_of
from grm_plugin.judging.headings import Heading, Part, find_headings
from grm_plugin.judging.last_word import check_last_word
from grm_plugin.judging.own_words import without_quoted_blocks, without_quotes
from grm_plugin.judging.score_numbers import Decimals
from grm_plugin.judging.shown_order import NAME, names_another_order, names_only
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Completion, Scores, Unparsed, UnparsedReason

# One character for one, so that offsets into the translated text hold in the original.
_DASHES = "‐‑‒–—―−－"
_SPACES = "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_ASCII_TWINS = str.maketrans(
    f"０１２３４５６７８９，、：＝｛｝．＼（）＜＞［］【】{_DASHES}{_SPACES}",
    f"0123456789,,:={{}}.\\()<>[][]{'-' * len(_DASHES)}{' ' * len(_SPACES)}",
)
_WORD = re.compile(r"[^\W_]")
_QUOTED_LINE = re.compile(r"^[ \t]*+>[^\n]*+", re.MULTILINE)
_REMARK_BELOW = re.compile(r"\s*+\([^()\n]*+\)")
_BOX = re.compile(r"\\boxed\s*+\{[^{}]*+\}")
HEAD_CHARS = 300
"""So much of the text above a verdict is looked at for a line of names, such as the head of a table."""
_NUMBER = re.compile(r"(?<![0-9.])([0-9]++(?:\.[0-9]++)?+)(?:\s?/\s?10\b)?+")


def parse(
    completion: Completion,
    n: int,
    decimals: Decimals = "reject",
    scale: tuple[int, int] = (MIN_SCORE, MAX_SCORE),
    max_tokens: int | None = None,
) -> Scores | Unparsed:
    """Read the scores of n responses off one completion. Never raises.

    Args:
        completion: what the GRM generated, without its prompt.
        n: the number of responses that the GRM was shown.
        decimals: whether 7.5 (and 7.0) is no score, or 7.5. Integers are read either way.
        scale: the lowest and the highest score; training on single responses has another one, 0 and 1.
        max_tokens: how many tokens the completion could have, if known: see `answer_of`.

    Returns:
        n scores on the scale in the order shown, with the texts of the two sections before them (empty if absent); or
        the reason why there is no vote, with an excerpt of what was found instead.
    """
    try:
        answer = answer_of(completion, max_tokens)
        text = _Critique(without_quoted_blocks(answer).translate(_ASCII_TWINS), n)
        verdict = text.last_verdict()
        values = values_of(text.content(verdict), n, decimals, scale)
        text.check_unrivalled(verdict, values, scale)
        text.check_order(verdict)
    except NoVote as lost:
        return lost.of(completion)
    return Scores(values, *_sections(answer, text.headings, verdict))


class _Critique:
    """An answer with ASCII punctuation that should hold a verdict on n responses."""

    def __init__(self, text: str, n: int) -> None:
        self.text = text
        self.n = n
        self.headings = list(find_headings(text))

    def last_verdict(self) -> int:
        """The number of the last heading of scores, or of something else that n scores follow."""
        for number in range(len(self.headings) - 1, -1, -1):
            part = self.headings[number].part
            if part is Part.SCORES or (part is Part.VERDICT and self._numbers_under(number)):
                return number
        raise NoVote(UnparsedReason.NO_SCORES, f"no Scores line: {end_of(self.text)}")

    def content(self, verdict: int) -> str:
        """What stands in a verdict's box or boxes."""
        start, end = self._line(self.headings[verdict])
        if start == end:
            raise NoVote(UnparsedReason.NO_SCORES, "nothing after the Scores heading")
        return box_content(self.text, start, end, self.n)

    def check_unrivalled(self, verdict: int, values: Sequence[float], scale: tuple[int, int]) -> None:
        """Raises `NoVote` where another verdict stands in the answer that may be the one that counts."""
        chosen, above = self.headings[verdict], self._directly_above(verdict)
        if not chosen.final and not (above and above.final):
            for number in range(verdict):
                if self._numbers_under(number) not in ((), values):
                    raise NoVote(UnparsedReason.AMBIGUOUS, "several verdicts, and the last one is not marked final")
        below = _QUOTED_LINE.sub("", self.text[self._line(chosen)[1] :])
        for numbers in chain(numbers_in_boxes(below), numbers_in_lists(below)):
            # A single number off the scale answers something else; several are scores on another scale.
            meant = len(numbers) == self.n and (self.n > 1 or scale[0] <= numbers[0] <= scale[1])
            if meant and numbers != values:
                raise NoVote(UnparsedReason.AMBIGUOUS, "other scores in a box below the verdict")
        for heading in self.headings[verdict + 1 :]:
            if heading.final and self._numbers_behind(heading) not in (None, values):
                raise NoVote(UnparsedReason.AMBIGUOUS, "other scores on a final line below the verdict")
        check_last_word(without_quotes(below), values, scale)

    def check_order(self, verdict: int) -> None:
        """Raises `NoVote` where the verdict's words name the responses in another order than shown."""
        chosen, above = self.headings[verdict], self._directly_above(verdict)
        _, end = self._line(chosen)
        line = self.text[(above or chosen).words_end : end]
        *_, last = _BOX.finditer(line)
        remark = _REMARK_BELOW.match(self.text, end)
        before, behind = _BOX.sub("", line[: last.start()]), line[last.end() :] + (remark[0] if remark else "")
        *_, head = ["", *filter(_WORD.search, self.text[max(0, chosen.start - HEAD_CHARS) : chosen.start].split("\n"))]
        before = f"{head}\n{before}" if names_only(head) else before
        if names_another_order(before, behind, self.n):
            raise NoVote(UnparsedReason.AMBIGUOUS, f"the responses are named in another order: {line.strip()}")

    def _line(self, heading: Heading) -> tuple[int, int]:
        """Where the rest of a heading's line begins and ends; of a bare heading, the next line that holds a word.

        A box that is closed further down belongs to it, and so do n boxes of one on a line each. Empty where there is
        no such line.
        """
        word = _WORD.search(self.text, heading.end)
        if word is None:
            return heading.end, heading.end
        end = self.text.find("\n", word.start())
        end = end if end >= 0 else len(self.text)
        last = self.text.rfind(r"\boxed", heading.end, end)
        box = _BOX.match(self.text, last) if last >= 0 else None
        end = max(end, box.end() if box else end)
        return heading.end, max(end, row_end(self.text, heading.end, end, self.n))

    def _directly_above(self, verdict: int) -> Heading | None:
        """The bare heading to which a verdict's own heading is the first line."""
        above = self.headings[verdict - 1] if verdict else None
        word = _WORD.search(self.text, above.end) if above else None
        return above if word and word.start() >= self.headings[verdict].start else None

    def _numbers_under(self, number: int) -> tuple[float, ...]:
        """The n numbers in boxes under a heading; empty where it is no verdict's, or there are others too."""
        heading = self.headings[number]
        if heading.part not in (Part.SCORES, Part.VERDICT):
            return ()
        start, end = self._line(heading)
        rows = list(numbers_in_boxes(self.text[start:end]))
        return rows[0] if [len(row) for row in rows] == [self.n] else ()

    def _numbers_behind(self, heading: Heading) -> tuple[float, ...] | None:
        """n numbers on a heading's own line, boxed or not; None where there are none, or more, or fewer."""
        end = self.text.find("\n", heading.end)
        line = NAME.sub("", self.text[heading.end : end if end >= 0 else len(self.text)])
        numbers = tuple(map(float, _NUMBER.findall(line)))
        return numbers if len(numbers) == self.n else None


def _sections(text: str, headings: Sequence[Heading], verdict: int) -> tuple[str, str]:
    """The texts under the first criteria heading and the first analysis heading before the verdict."""
    above, until = headings[:verdict], headings[verdict].start
    criteria = next((heading for heading in above if heading.part is Part.CRITERIA), None)
    analysis = next((heading for heading in above if heading.part is Part.ANALYSIS), None)
    criteria_until = analysis.start if analysis and criteria and analysis.start > criteria.start else until
    return _between(text, criteria, criteria_until), _between(text, analysis, until)


def _between(text: str, heading: Heading | None, until: int) -> str:
    return text[heading.end : until].lstrip(" \t:：=*_`").strip() if heading else ""
