"""Reads a completion as the configuration says: `judge.answer` names the reader, `judge.scale` the numbers it writes.

Every reader is strict, total and linear in the text: it gives exactly n scores, or the reason why there is no vote.
What is common to all of them: `answer_text` (did it end, where does the answer begin), `own_words` (what is quoted),
`sightings` (which of several verdicts counts), `last_word` (what stands below it).
"""

from __future__ import annotations

from collections.abc import Callable

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.answer_text import NoVote, answer_of
from grm_plugin.judging.last_word import check_last_word
from grm_plugin.judging.own_words import without_quotes
from grm_plugin.judging.parsing import parse
from grm_plugin.judging.read_brackets import read_brackets
from grm_plugin.judging.read_json import read_json
from grm_plugin.judging.read_regex import read_regex
from grm_plugin.judging.read_score import read_score
from grm_plugin.judging.read_verdict import read_verdict
from grm_plugin.judging.sightings import ASCII_TWINS
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Completion, Scores, Unparsed

Reader = Callable[[str, int, JudgeConfig], tuple[tuple[float, ...], int, int]]
"""Takes an answer, the number of responses and the configuration; gives the scores and where they begin and end."""

READERS: dict[str, Reader] = {
    "brackets": read_brackets,
    "json": read_json,
    "score": read_score,
    "verdict": read_verdict,
    "regex": read_regex,
}
"""By `judge.answer`; `boxed` is `parsing.parse`, which reads the sections of a critique too."""


def read(completion: Completion, n: int, judge: JudgeConfig, max_tokens: int | None = None) -> Scores | Unparsed:
    """The scores of n responses, on 1..10 in the order shown. Never raises.

    Args:
        completion: what the GRM generated, without its prompt.
        n: the number of responses that the GRM was shown.
        judge: its `answer`, `scale`, `decimals` and `pattern`.
        max_tokens: how many tokens it was given, if known: a completion that used them all was cut.
    """
    if judge.answer == "boxed":
        scores = parse(completion, n, judge.decimals, judge.scale, max_tokens)
    else:
        scores = _read_elsewhere(completion, n, judge, max_tokens)
    if isinstance(scores, Unparsed) or judge.answer == "verdict":
        return scores
    return Scores(tuple(to_vote(value, judge) for value in scores.values), scores.principles, scores.analysis)


def _read_elsewhere(completion: Completion, n: int, judge: JudgeConfig, max_tokens: int | None) -> Scores | Unparsed:
    """The scores on the judge's scale, as one of `READERS` finds them; what stands above them is the analysis."""
    try:
        answer = answer_of(completion, max_tokens)
        values, at, end = READERS[judge.answer](answer, n, judge)
        if judge.answer != "regex":  # there the user says what counts
            below = without_quotes(answer).translate(ASCII_TWINS)[end:]
            check_last_word(below, values, judge.scale, numbers=judge.answer != "verdict")
    except NoVote as lost:
        return lost.of(completion)
    return Scores(values, "", answer[:at].strip())


def to_vote(value: float, judge: JudgeConfig) -> float:
    """A score of the judge's scale on the scale of votes, 1..10; linear, fractions are kept."""
    lowest, highest = judge.scale
    if (lowest, highest) == (MIN_SCORE, MAX_SCORE):
        return value
    return MIN_SCORE + (MAX_SCORE - MIN_SCORE) * (value - lowest) / (highest - lowest)
