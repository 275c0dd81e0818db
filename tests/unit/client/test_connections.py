"""Each call has a connection of its own; for a few seconds it stays open for later calls."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest

from grm_plugin.client import connections as module
from grm_plugin.client.connections import IDLE_S, Connections
from support.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


async def test_calls_at_once_have_different_connections_and_later_ones_reuse_them(clock: Clock) -> None:
    connections = Connections("http://127.0.0.1:9", None)
    async with AsyncExitStack() as calls:
        held = [await calls.enter_async_context(connections.hold()) for _ in range(3)]
        assert len(set(map(id, held))) == 3
    async with connections.hold() as http:
        assert http in held
        assert not http.is_closed
    await connections.aclose()
    assert all(http.is_closed for http in held)


async def test_what_no_call_has_used_for_a_while_is_closed(clock: Clock) -> None:
    connections = Connections("http://127.0.0.1:9", None)
    async with AsyncExitStack() as calls:
        held = [await calls.enter_async_context(connections.hold()) for _ in range(3)]
    clock.now += IDLE_S + 1
    async with connections.hold() as used:
        pass
    assert [http for http in held if not http.is_closed] == [used], "the surplus of a wave does not stay for ever"
    await connections.aclose()


async def test_a_connection_that_is_handed_back_after_the_end_is_closed(clock: Clock) -> None:
    connections = Connections("http://127.0.0.1:9", None)
    async with connections.hold() as http:
        await connections.aclose()
        assert not http.is_closed
    assert http.is_closed
