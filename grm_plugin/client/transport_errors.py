"""Why a request did not get through, in the operating system's words: httpx says "All connection attempts failed"."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx


def explain_transport(error: Exception) -> str:
    """The cause of a failed request: `connection refused`, or an unknown host's name, or what httpx knows."""
    for cause in _causes(error):
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, OSError) and cause.errno is not None:
            return (cause.strerror or os.strerror(cause.errno)).lower()
    if isinstance(error, httpx.ConnectTimeout):
        return "the connection was not taken in time: is it the right host, and does a firewall let it through?"
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__context__, cause.__cause__]
        waiting += cause.exceptions if isinstance(cause, BaseExceptionGroup) else []
