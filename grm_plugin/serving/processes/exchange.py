"""What the processes of a service know together: what all of them have counted, and learnt for `normalize.method`
running. The first process keeps both.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress

from grm_plugin._util.concurrency import all_of, let_go
from grm_plugin._util.deadline import Deadline
from grm_plugin.serving.processes.link import Link, Methods, PeerLost
from grm_plugin.serving.processes.running import News, NewsTeller, Total, TotalKeeper
from grm_plugin.serving.processes.totals import Figures, Totals
from grm_plugin.serving.service import RewardService

logger = logging.getLogger(__name__)

PERIOD_S = 1.0
"""Pause between two exchanges: a process that is killed loses what it has counted and learnt since the last one."""

FIGURES_S = 1.5
"""A process that does not say within this time what it has counted counts with what it said last."""

HANDOVER_S = 2.0
"""For a process to tell what it has learnt."""


class Exchange:
    """The part of one process. To be made on its event loop.

    Args:
        own: counts and learns in this process.
        place: which of the processes this is; 0 is the first one.
        links: to all others, by their places.
    """

    def __init__(self, own: RewardService, place: int, links: Mapping[int, Link]) -> None:
        self._own = own
        self._place = place
        self._links = links
        self._name = uuid.uuid4().hex
        self._sums = Totals()
        self._last_total: Figures | None = None
        self._learns = own.config.normalize.method == "running"
        normalizer = own.judge.normalizer
        self._keeper = TotalKeeper(normalizer, self._save_soon)
        self._teller = NewsTeller(normalizer, lambda news: self._links[0].call("add_news", news))
        self._waiting_for = set(links)
        """In the first process: the others, while they have not told all that they have learnt."""
        self._all_told = asyncio.Event()
        self._running = asyncio.create_task(self._repeat())

    @property
    def methods(self) -> Methods:
        """What other processes call."""
        return {
            "figures": self._figures,
            "totals": self.totals,
            "add_news": self._add_news,
            "all_told": self._has_told_all,
        }

    async def totals(self) -> Figures:
        """What the service has counted, as the first process knows it; the last that it said where it is away."""
        if not self._place:
            await self._hear_all()
            return self._sums.sum()
        with suppress(PeerLost, TimeoutError):
            async with asyncio.timeout(2 * FIGURES_S):
                self._last_total = await self._links[0].call("totals")
        return self._last_total or await self._figures()

    async def hand_over(self, deadline: Deadline) -> None:
        """Have the first process know all that was learnt, before it saves that. Nothing may be learnt any more.

        Args:
            deadline: by then the other processes learn nothing any more, either.
        """
        let_go(self._running)
        if not self._learns:
            return
        with suppress(PeerLost, TimeoutError):
            if self._place:
                async with asyncio.timeout(HANDOVER_S):
                    await self._teller.tell()
                    await self._teller.tell()  # the first call may have repeated an earlier one
                    await self._links[0].call("all_told", self._place)
            else:
                async with Deadline(deadline.at + HANDOVER_S).timeout():
                    await self._all_told.wait()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                if not self._place:
                    await self._hear_all()
                elif self._learns:
                    async with asyncio.timeout(HANDOVER_S):
                        await self._teller.tell()
            except (PeerLost, TimeoutError):
                logger.debug("the first process of the service does not answer")
            except Exception as error:  # whatever it is, it must not be the last time
                logger.error("the processes of the service cannot exchange what they know: %r", error)

    async def _hear_all(self) -> None:
        self._sums.heard(0, await self._figures())
        await all_of(self._hear(place) for place in self._links)

    async def _hear(self, place: int) -> None:
        with suppress(PeerLost, TimeoutError):
            async with asyncio.timeout(FIGURES_S):
                self._sums.heard(place, await self._links[place].call("figures"))

    async def _figures(self) -> Figures:
        """What this process has counted."""
        return Figures(self._name, self._own.info().counters, tuple(self._own.metrics.registry.collect()))

    async def _add_news(self, news: News) -> Total:
        return self._keeper.add(news)

    async def _has_told_all(self, place: int) -> None:
        self._waiting_for.discard(place)
        if not self._waiting_for:
            self._all_told.set()

    def _save_soon(self) -> None:
        if self._own.saver:
            self._own.saver.save_soon()
