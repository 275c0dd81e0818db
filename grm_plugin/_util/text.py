"""Makes text encodable as UTF-8, so that every file, reply and trace can hold it."""

from __future__ import annotations

import re

from grm_plugin.errors import GroupError

_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """The text with lone surrogates (which UTF-8 cannot hold) replaced by U+FFFD.

    Raises:
        GroupError: it is not a string.
    """
    if not isinstance(text, str):
        raise GroupError(f"prompts and responses must be text, got {type(text).__name__}")
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
