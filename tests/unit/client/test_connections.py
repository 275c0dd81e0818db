"""Each call has a connection of its own; a few stay open for later calls."""

from __future__ import annotations

from contextlib import AsyncExitStack

from grm_plugin.client.connections import Connections


async def test_calls_at_once_have_different_connections_and_later_ones_reuse_them() -> None:
    connections = Connections("http://127.0.0.1:9", None, most_idle=2)
    async with AsyncExitStack() as calls:
        held = [await calls.enter_async_context(connections.hold()) for _ in range(3)]
        assert len(set(map(id, held))) == 3
    assert sorted(http.is_closed for http in held) == [False, False, True], "no more than most_idle stay open"
    async with connections.hold() as http:
        assert http in held
        assert not http.is_closed
    await connections.aclose()
    assert all(http.is_closed for http in held)


async def test_a_connection_that_is_handed_back_after_the_end_is_closed() -> None:
    connections = Connections("http://127.0.0.1:9", None, most_idle=2)
    async with connections.hold() as http:
        await connections.aclose()
        assert not http.is_closed
    assert http.is_closed
