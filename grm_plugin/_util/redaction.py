"""What an engine says when it fails, without the prompt that it may repeat in it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grm_plugin.types import Message

WINDOW = 12
"""So many characters in a row that stand in the prompt too are a quotation."""

BLOCK = WINDOW // 2
LIMIT = 400

LEFT_OUT = "[...]"


def describe(error: BaseException, messages: Sequence[Message]) -> str:
    """Type and message of an error, fit for a log: at most `LIMIT` characters, nothing of `messages` quoted.

    Servers like to repeat what they refuse, as it is or escaped for JSON.
    """
    said = str(error)[:LIMIT]
    plain = "\n".join(dict.fromkeys(message.content for message in messages))  # a meta RM gets one prompt k times
    source = plain + json.dumps(plain)
    return f"{type(error).__name__}: {_without(said, source)}"


def _without(said: str, source: str) -> str:
    quoted = [False] * len(said)
    # Every window holds a whole block, few blocks are in the source, and each search may take its whole length.
    blocks = {start for start in range(0, len(said), BLOCK) if said[start : start + BLOCK] in source}
    for start in range(len(said) - WINDOW + 1):
        if -(-start // BLOCK) * BLOCK in blocks and said[start : start + WINDOW] in source:
            quoted[start : start + WINDOW] = [True] * WINDOW
    kept = ""
    for character, is_quoted in zip(said, quoted, strict=True):
        if not is_quoted:
            kept += character
        elif not kept.endswith(LEFT_OUT):
            kept += LEFT_OUT
    return kept
