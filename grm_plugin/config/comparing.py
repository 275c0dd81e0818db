"""Normalising methods that compare the responses to a prompt, and have nothing to say about one alone."""

from __future__ import annotations

from grm_plugin.config.sections import NEUTRAL_REWARD

COMPARING_METHODS = ("group", "rank")


def lone_response(method: str | None, n: int) -> str:
    """What is wrong with `n` samples per prompt under this `normalize.method` (None: not known), or an empty text.

    What to do about it depends on who has said n, so the caller adds it.
    """
    if n > 1 or method not in COMPARING_METHODS:
        return ""
    return (
        f"normalize.method {method} compares the responses to a prompt, and one alone would always get "
        f"{NEUTRAL_REWARD[method]:g}"
    )
