"""The deadline of the work that the current task does, for those below who decide whether another try is worth it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline_within(timeout_s: float | None) -> Iterator[None]:
    """Sets the deadline that `time_left` tells the code and the tasks started inside the block; None: no deadline.

    It cancels nothing itself.
    """
    token = _deadline.set(None if timeout_s is None else time.monotonic() + timeout_s)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_left() -> float | None:
    """Seconds until the deadline, or None where there is none; negative when it is over."""
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()
