"""Reads n scores with a regular expression of the user's (`judge.pattern`): one capture for each response.

The last match counts. Captures of groups that took no part in it are none, so that `(\\d+)(?:, (\\d+))?` reads one
score or two. What stands in a quoted line, in a quoting tag or inside of quotation marks is not looked at.
"""

from __future__ import annotations

import re

from grm_plugin._util.text import encodable
from grm_plugin.config import JudgeConfig
from grm_plugin.config.patterns import compiled
from grm_plugin.judging.answer_text import NoVote, end_of
from grm_plugin.judging.own_words import without_quoted_blocks
from grm_plugin.judging.sightings import MOST_PLACES, numbers
from grm_plugin.types import UnparsedReason

_IN_QUOTES = re.compile(r'"[^"\n]*+"|“[^”\n]*+”')


def read_regex(answer: str, n: int, judge: JudgeConfig) -> tuple[tuple[float, ...], int, int]:
    """The n scores on the judge's scale, where they begin, and where they end.

    Raises:
        NoVote: nothing matches, there is another number of captures, or one is no score.
    """
    text = encodable(without_quoted_blocks(answer))
    quotes = iter(_IN_QUOTES.finditer(text))
    quote = next(quotes, None)
    last = None
    for count, match in enumerate(compiled(judge.pattern or "").finditer(text)):
        if count == MOST_PLACES:  # one match takes linear time
            raise NoVote(UnparsedReason.AMBIGUOUS, f"judge.pattern matches more than {MOST_PLACES} times")
        while quote is not None and quote.end() <= match.start():
            quote = next(quotes, None)
        if quote is None or not (quote.start() < match.start() and match.end() < quote.end()):
            last = match
    if last is None:
        raise NoVote(UnparsedReason.NO_SCORES, f"judge.pattern matches nothing: {end_of(answer)}")
    return numbers([capture for capture in last.groups() if capture is not None], n, judge), last.start(), last.end()
