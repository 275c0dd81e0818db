"""Makes hostile text safe to show: escapes HTML, shows invisible characters as codes, cuts long texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from markupsafe import Markup, escape

SHOWN_CHARS = 40_000
"""Longest text on a page; the export has all of it."""

# Control characters but for tab and newline, format characters (zero-width, bidi overrides, tags), private-use and
# surrogate characters, line separators, fillers that print nothing, variation selectors (which can carry hidden data).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ue000-\uf8ff\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_POSITION_NAME = re.compile(r"\b(Response|response|RESPONSE)(s?[ \u00a0]#?)(\d{1,3})\b")
"""How a critique names a response by its position in the list."""


def visible(text: str, limit: int = SHOWN_CHARS) -> Markup:
    """Text for a page: HTML is escaped, invisible characters appear as codes, the middle of a long text is left out."""
    if len(text) > limit:
        head, tail = text[: limit * 3 // 4], text[-limit // 4 :]
        note = Markup('<span class="cut">{:,} characters are not shown here; the export has them</span>').format(
            len(text) - len(head) - len(tail)
        )
        return Markup("{}\n{}\n{}").format(visible(head, limit), note, visible(tail, limit))
    return Markup(_INVISIBLE.sub(_mark, str(escape(text))))


def with_letters(text: str, order: Sequence[str], limit: int = SHOWN_CHARS) -> Markup:
    """`visible`, with the response's letter behind every "Response 2".

    The page names responses by letters; the GRM names them by position, which means another response in each order.

    Args:
        text: a critique.
        order: `order[position]` is the letter of the response that the GRM saw there.
        limit: as for `visible`.
    """

    def name(match: re.Match[str]) -> str:
        position = int(match[3]) - 1
        letter = f'<b class="letter">{escape(order[position])}</b>' if 0 <= position < len(order) else ""
        return match[0] + letter

    return Markup(_POSITION_NAME.sub(name, visible(text, limit)))


def plain(text: str) -> str:
    """Text for a terminal: one line; invisible characters, which could steer the terminal, appear as codes."""
    return _INVISIBLE.sub(lambda match: f"<{_code(match[0])}>", " ".join(text.split()))


def _mark(match: re.Match[str]) -> str:
    character = match[0]
    name = unicodedata.name(character, "control or private character")
    return f'<span class="invisible" title="{escape(name)}">{_code(character)}</span>'


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
