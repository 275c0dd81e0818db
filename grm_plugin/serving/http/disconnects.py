"""Stops waiting for the answer to a request whose client has hung up."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from fastapi import Request

from grm_plugin._util.concurrency import let_go
from grm_plugin.errors import WireError

T = TypeVar("T")


async def until_disconnect(request: Request, work: Coroutine[None, None, T]) -> T:
    """The result of `work`, which is cancelled when the client hangs up.

    The service notices by that that its caller is gone, and gives a repeated request the work that goes on
    (`single_flight.py`).

    Raises:
        WireError: the client has hung up.
    """
    working = asyncio.current_task()
    assert working is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except BaseException:  # what the work says to its cancellation is for nobody, and may quote the prompt
        if not gone or working.uncancel():
            raise
        raise WireError("the client closed the connection") from None
    finally:
        let_go(watching)
