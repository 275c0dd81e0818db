"""The pattern of `judge.pattern`, in RE2, whose time is linear in the text whatever the pattern is."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache
def compiled(pattern: str) -> Any:
    """RE2's regular expression. `.` does not match a line end and `^`, `$` are those of the text, unless flags say so.

    Raises:
        ValueError: RE2 refuses the pattern; the message has its reason.
    """
    import re2  # only where there is a pattern: an older installation lacks it

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error.args[0]
        raise ValueError(
            f"RE2 refuses it: {reason}. It knows no look-around and no back-references, (?i), (?m) and (?s) are flags"
        ) from None
