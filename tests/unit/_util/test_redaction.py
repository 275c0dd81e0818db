"""Errors that repeat the prompt."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.redaction import LEFT_OUT, LIMIT, WINDOW, describe
from grm_plugin.types import Message

TEXTS = st.text(alphabet='ab"\n', max_size=60)


@given(TEXTS, TEXTS, TEXTS, st.integers(0, 60), st.integers(0, 60))
def test_exactly_what_stands_in_the_prompt_is_left_out(
    before: str, prompt: str, after: str, start: int, stop: int
) -> None:
    said = before + prompt[start:stop] + after
    shown = describe(ValueError(said), [Message("user", prompt)] * 2)
    assert shown == f"ValueError: {_slowly(said, prompt + json.dumps(prompt))}"


def _slowly(said: str, source: str) -> str:
    """The definition: each character that lies in some window of the source."""
    kept = ""
    for index, character in enumerate(said):
        windows = range(max(0, index - WINDOW + 1), min(index, len(said) - WINDOW) + 1)
        if not any(said[start : start + WINDOW] in source for start in windows):
            kept += character
        elif not kept.endswith(LEFT_OUT):
            kept += LEFT_OUT
    return kept


def test_a_long_error_is_cut() -> None:
    assert len(describe(ValueError("x" * 1000), [])) == len("ValueError: ") + LIMIT
