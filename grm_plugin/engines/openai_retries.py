"""When a request to an OpenAI-compatible server is sent again: after what, how often, and how long later."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime

from grm_plugin._util.deadline import current_deadline
from grm_plugin._util.http_calls import LostConnectionError, NoReplyError, Reply

REQUEST_TIMEOUT_S = 600.0
"""Longest wait for an answer where the caller has no deadline."""

SHORTEST_PATIENCE_S = 60.0
"""A request is given up when half of the caller's time has passed, so that another one has a chance, but not before so
many seconds: a slow answer is not to be taken for one that never comes."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Between two tries: twice as long each time, less up to a quarter by chance, so that not all come back at once."""

LONGEST_RETRY_AFTER_S = 120.0
"""A server that asks for more is not asked again."""

PASSING = {408, 409, 429}
"""Statuses, besides 5xx, of what another try may not meet."""


async def post_repeatedly(post: Callable[[float], Awaitable[Reply]], retries: int) -> Reply:
    """Post until there is a reply that another try will not better; `retries` times more than once at most.

    A connection that was lost before there was a reply is replaced at once, the first time: most likely the server
    closed it, idle, while the request was on its way. Other pauses are not begun where the current deadline ends in
    them: what went wrong is told while there is still someone to hear it.

    Args:
        post: sends the request once; takes the seconds that this may last.

    Raises:
        TimeoutError, NoReplyError: the last try ended so. Whatever else `post` raises comes through at once.
    """
    patience_s = _patience_s()
    replaced = False
    tried = 0
    while True:
        pause_s = _pause_s(tried)
        last: Reply | Exception
        try:
            last = await post(_at_most(patience_s))
            if last.status < 300:
                return last
            pause_s = retry_after_s(last) or pause_s
        except (TimeoutError, NoReplyError) as error:
            last = error
            if isinstance(error, LostConnectionError) and not replaced:
                replaced = True
                continue
        if tried == retries or not _may_pass(last, pause_s) or not _leaves_time(pause_s):
            if isinstance(last, Exception):
                raise last
            return last
        await asyncio.sleep(pause_s)
        tried += 1


def retry_after_s(reply: Reply) -> float | None:
    """How long the server asks to wait: seconds above 0, of which it may send parts; None where it says nothing."""
    milliseconds, seconds = reply.headers.get("Retry-After-Ms"), reply.headers.get("Retry-After")
    asked = _number(milliseconds, 1e-3) or _number(seconds, 1.0) or _seconds_until(seconds)
    return asked if asked is not None and asked > 0 else None


def _number(text: str | None, unit_s: float) -> float | None:
    try:
        return float(text or "") * unit_s
    except ValueError:
        return None


def _seconds_until(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


def _may_pass(last: Reply | Exception, pause_s: float) -> bool:
    if isinstance(last, Exception):
        return True
    if pause_s > LONGEST_RETRY_AFTER_S:
        return False
    server_says = last.headers.get("X-Should-Retry")  # OpenAI's does, for example where a quota is used up
    if server_says in ("true", "false"):
        return server_says == "true"
    return last.status in PASSING or last.status >= 500


def _pause_s(tried: int) -> float:
    return min(FIRST_PAUSE_S * 2.0**tried, LONGEST_PAUSE_S) * random.uniform(0.75, 1.0)


def _leaves_time(pause_s: float) -> bool:
    left_s = current_deadline().left_s
    return left_s is None or pause_s < left_s


def _patience_s() -> float:
    """How long each try may take: see `SHORTEST_PATIENCE_S`."""
    left_s = current_deadline().left_s
    return REQUEST_TIMEOUT_S if left_s is None else min(left_s, max(SHORTEST_PATIENCE_S, left_s / 2))


def _at_most(patience_s: float) -> float:
    left_s = current_deadline().left_s
    if left_s == 0.0:
        raise TimeoutError
    return patience_s if left_s is None else min(patience_s, left_s)
