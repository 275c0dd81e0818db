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
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WireError("the client closed the connection")
        return task.result()
    finally:
        let_go(gone, task)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
