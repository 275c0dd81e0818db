"""Calls between processes: answers, errors, cancellation, and a process that is killed and comes back."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from grm_plugin.errors import RewardError, ServiceError
from grm_plugin.serving.processes import link as link_module
from grm_plugin.serving.processes.link import Link, LinkServer, PeerLost
from support.factories import until


class Odd(Exception):
    """An error that cannot be pickled."""

    def __init__(self) -> None:
        super().__init__(lambda: None)


class Methods:
    def __init__(self) -> None:
        self.cancelled = 0

    async def echo(self, value: Any) -> Any:
        return value

    async def fail(self, error: Exception | None) -> None:
        raise error or Odd()

    async def hang(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled += 1

    async def cancel_itself(self) -> None:
        raise asyncio.CancelledError

    @property
    def by_name(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("echo", "fail", "hang", "cancel_itself")}


@pytest.fixture
def path() -> Any:
    with tempfile.TemporaryDirectory(prefix="grm-") as folder:
        yield str(Path(folder, "made-if-missing", "socket"))


@pytest.fixture
def methods() -> Methods:
    return Methods()


@pytest_asyncio.fixture
async def link(path: str, methods: Methods, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Link]:
    monkeypatch.setattr(link_module, "RETRY_PAUSE_S", 0.01)
    server = LinkServer(path, methods.by_name)
    await server.started()
    link = Link(path)
    await asyncio.wait_for(link.reached(), 20)
    yield link
    link.close()
    server._serving.result().close()


async def test_many_calls_at_once_each_get_their_answer(link: Link) -> None:
    values: list[Any] = [*range(100), "x" * 3_000_000, ("\ud800", None)]
    assert await asyncio.gather(*(link.call("echo", value) for value in values)) == values


async def test_errors_cross_as_they_are(link: Link) -> None:
    with pytest.raises(RewardError, match=r"^no vote$"):
        await link.call("fail", RewardError("no vote"))
    with pytest.raises(KeyError):
        await link.call("fail", KeyError("odd"))
    with pytest.raises(RuntimeError, match="Odd in another process"):
        await link.call("fail", None)
    with pytest.raises(KeyError, match="no_such_method"):
        await link.call("no_such_method")
    with pytest.raises(Exception, match="cancelled itself"):
        await link.call("cancel_itself")
    assert await link.call("echo", 1) == 1


async def test_a_caller_that_leaves_cancels_what_it_called(link: Link, methods: Methods) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(link.call("hang"), 0.02)
    assert await link.call("echo", 1) == 1
    assert methods.cancelled == 1
    lost = asyncio.create_task(link.call("hang"))
    await link.call("echo", 1)
    link.close()
    with pytest.raises(PeerLost):
        await lost
    await asyncio.sleep(0.02)
    assert methods.cancelled == 2
    with pytest.raises(PeerLost):
        await link.call("echo", 1)
    await link.reached()  # nobody waits for what is closed


PEER = """
import asyncio, sys
from grm_plugin.serving.processes.link import LinkServer

async def hang():
    await asyncio.Event().wait()

async def one():
    return 1

async def main():
    await LinkServer(sys.argv[1], {"hang": hang, "one": one}).started()
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_process_fails_its_calls_and_is_reached_again(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RETRY_PAUSE_S", 0.01)
    link = Link(path)
    with pytest.raises(PeerLost):
        await link.call("one")
    for _ in range(2):
        peer = await asyncio.create_subprocess_exec(sys.executable, "-c", PEER, path)
        await asyncio.wait_for(link.reached(), 60)
        assert await link.call("one") == 1
        hanging = asyncio.create_task(link.call("hang"))
        await link.call("one")
        peer.kill()
        with pytest.raises(PeerLost):
            await asyncio.wait_for(hanging, 20)
        await peer.wait()
        await until(lambda: not link.is_up)
    link.close()


def test_it_works_on_the_event_loop_that_ray_has(path: str, methods: Methods) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def called() -> Any:
        await LinkServer(path, methods.by_name).started()
        link = Link(path)
        await asyncio.wait_for(link.reached(), 20)
        return await link.call("echo", 1)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(called()) == 1


async def test_a_socket_that_cannot_be_made_is_said() -> None:
    with pytest.raises(ServiceError, match="cannot reach each other: /proc/none/socket"):
        LinkServer("/proc/none/socket", {})
