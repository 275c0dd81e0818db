"""A client that hangs up: its work is cancelled, and what the work says to that is nobody's."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from starlette.requests import Request

from grm_plugin.errors import WireError
from grm_plugin.serving.http.disconnects import until_disconnect
from support.factories import until


async def test_work_that_answers_its_cancellation_with_an_error_brings_no_text_into_a_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    over = []

    async def hang_up() -> Any:
        return {"type": "http.disconnect"}

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            over.append(1)
            raise ValueError("the secret prompt")

    with pytest.raises(WireError, match="closed the connection"):
        await until_disconnect(Request({"type": "http"}, hang_up), work())
    await until(lambda: bool(over))
    await asyncio.sleep(0)
    gc.collect()
    assert caplog.text == ""


async def test_the_result_of_work_whose_client_waits() -> None:
    async def work() -> str:
        return "reward"

    async def nothing() -> Any:
        await asyncio.Event().wait()

    assert await until_disconnect(Request({"type": "http"}, nothing), work()) == "reward"
