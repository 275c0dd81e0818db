"""Checks what engines return before it is used."""

from __future__ import annotations

from typing import Any

from grm_plugin.errors import EngineError
from grm_plugin.types import Completion

LARGEST_LOGIT = 3.4e38
"""Of a float32, so that a mean of logits stays finite. NaN is no larger and no smaller, and so refused too."""


def check_completions(answer: Any, n: int) -> None:
    """Raises `EngineError` unless this is a list of `n` completions."""
    if not isinstance(answer, list) or not all(isinstance(item, Completion) for item in answer):
        raise EngineError(f"the GRM must answer with a list of completions, got {_shown(answer)}")
    if len(answer) != n:
        raise EngineError(f"the GRM answered with {len(answer)} completions; {n} were asked for")
    for item in answer:
        if (
            not isinstance(item.text, str)
            or not isinstance(item.finish_reason, str)
            or not isinstance(item.tokens, int)
        ):
            raise EngineError("the GRM answered with a completion whose fields have wrong types")


def check_logits(answer: Any, n: int) -> None:
    """Raises `EngineError` unless this is a list of `n` finite numbers."""
    if not isinstance(answer, list) or not all(isinstance(item, float | int) for item in answer):
        raise EngineError(f"the meta RM must answer with a list of logits, got {_shown(answer)}")
    if len(answer) != n:
        raise EngineError(f"the meta RM answered with {len(answer)} logits for {n} critiques")
    if not all(abs(item) <= LARGEST_LOGIT for item in answer):
        raise EngineError(
            "the meta RM answered with a logit that is NaN or infinite: its weights or meta_rm.dtype are wrong"
        )


def _shown(answer: Any) -> str:
    """What it is, without what is in it: critiques do not belong into logs."""
    inside = sorted({type(item).__name__ for item in answer}) if isinstance(answer, list) else []
    return type(answer).__name__ + (f" of {', '.join(inside)}" if inside else "")
