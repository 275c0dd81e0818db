r"""Reads scores by criteria: below a line `Scores:`, one line for each criterion, with a box of n entries.

    Scores:
    1: \boxed{8, 3}
    2: \boxed{yes, no}

The entries are in the order in which the responses were shown: scores on `judge.scale`, and yes or no for criteria that
are fulfilled or not. `Criterion 2 (tone): \boxed{...}`, `\text{yes}` and markdown signs are read too. Only what stands
below the last line `Scores:` counts: drafts, and what is quoted from a response above it, do not. A criterion whose
line is missing or wrong, or stands there twice with other entries, has no scores; the others keep theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote, answer_of, end_of
from grm_plugin.judging.answers import to_vote
from grm_plugin.judging.criteria import scores_by
from grm_plugin.judging.own_words import without_quoted_blocks
from grm_plugin.judging.score_numbers import scores_of
from grm_plugin.judging.sightings import ASCII_TWINS
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Completion, Criterion, Scores, Unparsed, UnparsedReason

_SIGNS = r"[ \t\r\#*_`|•+-]*+"
_HEADING = re.compile(
    rf"^ {_SIGNS} (?: (?: final | overall ) \  )?+ scores [ \t*_`]*+ :?+ [ \t*_`]*+ \r?+ $",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_LINE = re.compile(
    rf"""
    ^ {_SIGNS} (?: criterion \ ?+ )?+ \#?+ (?P<number> \d{{1,2}} ) (?![\d,]) [^\n\\]{{0,200}}+
    \\boxed \s*+ \{{ (?P<entries> [^{{}}\n]* ) \}}
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_WORDS = re.compile(r"\\text(?:bf|rm)?\{([^{}\n]*)\}")
r"""Words in a box, as models write them that were trained on mathematics: `\boxed{\text{yes}, \text{no}}`."""
_ANSWERS = {"yes": float(MAX_SCORE), "no": float(MIN_SCORE)}
_NOT_WORDS = " \t\r*_`\"'."


def read_criteria(
    completion: Completion, n: int, criteria: Sequence[Criterion], judge: JudgeConfig, max_tokens: int | None = None
) -> Scores | Unparsed:
    """The scores of n responses by each criterion, on 1..10 in the order shown, and what they come to. Never raises.

    Args:
        completion: what the GRM generated, without its prompt.
        n: the number of responses that the GRM was shown.
        criteria: what it was asked for, in the order shown; without rules.
        judge: its `scale` and `decimals`.
        max_tokens: how many tokens it was given, if known: a completion that used them all was cut.
    """
    try:
        answer = answer_of(completion, max_tokens)
        text = without_quoted_blocks(answer).translate(ASCII_TWINS)
        *_, heading = [None, *_HEADING.finditer(text)]
        if heading is None:
            raise NoVote(UnparsedReason.NO_SCORES, f"no line with Scores: alone: {end_of(answer)}")
        rows, lost = _rows(_WORDS.sub(r"\1", text[heading.end() :]), n, criteria, judge)
        values = scores_by(criteria, rows, n)
        if values is None:
            raise lost or NoVote(UnparsedReason.NO_SCORES, f"no criterion has scores: {end_of(answer)}")
    except NoVote as lost:
        return lost.of(completion)
    return Scores(values, "", answer[: heading.start()].strip(), tuple(rows))


def _rows(
    below: str, n: int, criteria: Sequence[Criterion], judge: JudgeConfig
) -> tuple[list[tuple[float, ...] | None], NoVote | None]:
    """The scores of each criterion, None where they cannot be read; and why, of the first one."""
    entries: dict[int, set[str]] = {}
    for line in _LINE.finditer(below):
        entries.setdefault(int(line["number"]), set()).add("".join(line["entries"].split()).lower())
    rows: list[tuple[float, ...] | None] = []
    first: NoVote | None = None
    for number, criterion in enumerate(criteria, 1):
        try:
            rows.append(_row(number, entries.get(number, set()), n, criterion, judge))
        except NoVote as lost:
            rows.append(None)
            first = first or lost
    return rows, first


def _row(number: int, entries: set[str], n: int, criterion: Criterion, judge: JudgeConfig) -> tuple[float, ...]:
    if not entries:
        raise NoVote(UnparsedReason.NO_SCORES, f"no scores for criterion {number}")
    if len(entries) > 1:
        raise NoVote(UnparsedReason.AMBIGUOUS, f"criterion {number} has several rows of scores")
    [written] = entries
    parts = written.split(",")
    if criterion.kind == "scale":
        return tuple(to_vote(value, judge) for value in scores_of(parts, n, judge.decimals, judge.scale, written))
    answers = [_ANSWERS.get(part.strip(_NOT_WORDS)) for part in parts]
    if len(answers) != n:
        raise NoVote(UnparsedReason.WRONG_COUNT, f"{len(answers)} answers for {n} responses: {written}")
    if None in answers:
        raise NoVote(UnparsedReason.NO_SCORES, f"criterion {number} takes yes or no: {written}")
    return tuple(
        MIN_SCORE + MAX_SCORE - answer if criterion.kind == "penalty" else answer
        for answer in answers
        if answer is not None
    )
