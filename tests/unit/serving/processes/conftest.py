"""A service of several processes, all of them in this one: they call each other over real sockets."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from grm_plugin.judging.seams import Generator
from grm_plugin.serving.processes import exchange, link
from grm_plugin.serving.processes.front import Front
from grm_plugin.serving.service import RewardService
from support.factories import by_number, make_config, scoring

PERIOD_S = 0.02


class Processes:
    """The fronts of one service, by their places; `generator` is what all of them judge with."""

    def __init__(self, count: int, folder: str, callers: list[Any], generator: Generator, **overrides: Any) -> None:
        if count > 1:
            overrides["service__replicas"] = count
        self.config = make_config(**{"sampling__k": 2, **overrides})
        self.generator = generator
        self.paths = [str(Path(folder, f"process-{place}")) for place in range(count)]
        self.callers = callers
        """The connections that the processes have taken so far."""
        self.fronts = [self.start(place) for place in range(count)]

    def start(self, place: int) -> Front:
        own = RewardService(self.config, self.generator, saves=not place)
        return Front(own, place, self.paths)

    async def connected(self) -> None:
        for front in self.fronts:
            await front.started()
            for other in front._links.values():
                await other.reached()

    def kill(self, place: int) -> None:
        """As if the process had died: its socket and all of its connections end; nobody hears of it any more."""
        dead = self.fronts[place]
        dead._exchange._running.cancel()
        for connection in dead._links.values():
            connection.close()
        if dead._server._serving.done():
            dead._server._serving.result().close()
        for caller in self.callers:
            if caller._methods is dead._methods:
                caller._transport.abort()

    async def restart(self, place: int) -> Front:
        self.fronts[place] = self.start(place)
        await self.connected()
        return self.fronts[place]

    def owner(self, prompt: str) -> int:
        """The place of the process that gathers the samples of a prompt text."""
        return self.fronts[0]._owner(self.fronts[0].prompts.read(prompt).identity)

    def prompts_of(self, place: int, count: int = 1) -> list[str]:
        """Different prompts that are gathered in a place."""
        candidates = (f"Question {number}?" for number in range(1000))
        return [prompt for prompt in candidates if self.owner(prompt) == place][:count]


Started = Callable[..., Any]


@pytest_asyncio.fixture
async def processes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Started]:
    """Starts services: `await processes(3, generator, sampling__k=4)`."""
    folders: list[str] = []
    started: list[Processes] = []
    monkeypatch.setattr(exchange, "PERIOD_S", PERIOD_S)
    monkeypatch.setattr(link, "RETRY_PAUSE_S", 0.01)

    made = link._Caller.__init__
    callers: list[Any] = []

    def remembered(caller: Any, methods: Any) -> None:
        made(caller, methods)
        callers.append(caller)

    monkeypatch.setattr(link._Caller, "__init__", remembered)

    async def start(count: int, generator: Generator | None = None, **overrides: Any) -> Processes:
        folders.append(tempfile.mkdtemp(prefix="grm-"))  # a path that is short enough for a socket
        started.append(Processes(count, folders[-1], callers, generator or scoring(by_number), **overrides))
        await asyncio.wait_for(started[-1].connected(), 20)
        return started[-1]

    yield start
    for service in started:
        for place in range(len(service.fronts)):
            service.kill(place)
    for folder in folders:
        shutil.rmtree(folder)
