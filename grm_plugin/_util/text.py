"""What a text holds beyond what is seen: characters that UTF-8 cannot hold, and characters that no screen shows."""

from __future__ import annotations

import re

from grm_plugin.errors import GroupError

_SURROGATE = re.compile("[\ud800-\udfff]")

# Soft hyphen, marks and overrides of direction, zero-width characters, tag characters (text that models read and no
# screen shows). The joiners U+200C and U+200D are not among them: Persian, Hindi and emoji are written with them.
INVISIBLE = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
"""Inside of a character class: what `strip_invisible` takes out."""

FILLERS = "\x00-\x1f\x7f-\x9f\u034f\u115f\u1160\u17b4\u17b5\u200c\u200d\u2800\u3164\ufe00-\ufe0f\uffa0"
"""Inside of a character class: what shows nothing by itself, though it may matter beside other characters."""

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_FILLERS = re.compile(f"[{FILLERS}]")
_SEEN = re.compile("[!-~]")


def encodable(text: str) -> str:
    """The text with lone surrogates (which UTF-8 cannot hold) replaced by U+FFFD.

    Raises:
        GroupError: it is not a string.
    """
    if not isinstance(text, str):
        raise GroupError(f"prompts and responses must be text, got {type(text).__name__}")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def strip_invisible(text: str) -> str:
    """The text without characters that no screen shows; what is seen and how words are joined stays the same."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def one_line(text: str) -> str:
    """The text as a terminal or a table can show it: without line breaks and control characters, with single spaces."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def shows_nothing(text: str) -> bool:
    """Whether a reader would see nothing: white space, invisible characters and fillers only."""
    if _SEEN.search(text):  # at the first character of most texts
        return False
    return not text.strip() or not _FILLERS.sub("", _INVISIBLE.sub("", text)).strip()
