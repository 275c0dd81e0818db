r"""The answer that a sample comes to, for a vote: read off its text, and written so that equal answers are equal texts.

In order: what stands in the last `\boxed{...}`; behind the last `####` (GSM8K); behind the last "answer is"; the last
line that shows something. A pattern of the user's takes their place. All of it is linear in the text, which is hostile.
"""

from __future__ import annotations

import re
from collections import deque
from decimal import Decimal

from grm_plugin._util.text import encodable, shows_nothing
from grm_plugin.config.patterns import compiled

MOST_CHARS = 200
"""Of an answer. What is longer is an answer, too, but one that is told by its beginning."""

MOST_DIGITS = 25
"""Of a number that is one however it is written. Longer decimals would be rounded, and different ones then equal."""

_ANSWER_IS = re.compile(r"\banswer is:?[ \t]*", re.IGNORECASE)
_WRAPPED = re.compile(r"\\(?:text|mathrm|mbox)\{([^{}]*+)\}")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")


def answer_of(text: str, pattern: str = "") -> str | None:
    """The answer of a sample; None where it has none.

    Args:
        text: of the sample.
        pattern: a regular expression of RE2, whose last match counts: its first group, or all of it without groups.
    """
    text = encodable(text)
    found = _by_pattern(text, pattern) if pattern else _found(text)
    return None if found is None else normalised(found) or None


def normalised(answer: str) -> str:
    """An answer without what does not change it: `$1,000.0`, ` 1000. ` and `\\text{1000}` are one."""
    text = _WRAPPED.sub(r"\1", answer).strip().strip("$*`\"' \t\n").rstrip(".")
    text = " ".join(text.replace("\\!", "").replace("\\$", "").replace("\\%", "%").split()).casefold()[:MOST_CHARS]
    number = text.lstrip("$").replace(",", "") if re.fullmatch(r"\$?[+-]?[\d,.]++", text) else text
    if len(number) <= MOST_DIGITS and _NUMBER.fullmatch(number):
        return format(Decimal(number).normalize(), "f")
    return text


def _by_pattern(text: str, pattern: str) -> str | None:
    last = deque(compiled(pattern).finditer(text), maxlen=1)
    if not last:
        return None
    (match,) = last
    found = match.group(1) if match.re.groups else match.group(0)
    return None if found is None else str(found)


def _found(text: str) -> str | None:
    if (start := text.rfind("\\boxed{")) >= 0:
        return _in_braces(text, start + len("\\boxed{"))
    if (start := text.rfind("####")) >= 0:
        return text[start + 4 :].strip().partition("\n")[0]
    *_, last = [None, *_ANSWER_IS.finditer(text)]
    if last is not None:
        return text[last.end() :].strip().partition("\n")[0]
    lines = [line for line in text.splitlines() if not shows_nothing(line)]
    return lines[-1] if lines else None


def _in_braces(text: str, start: int) -> str | None:
    """What stands from `start` to the brace that closes; None where none does."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start:place]
    return None
