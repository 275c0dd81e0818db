"""The statistics of `normalize.method` running, learnt by several processes as if by one.

The first process keeps the total. Every other one tells it once in a while what it has learnt, and gets the total back;
its own z-scores are held against the total that it knows and its own news.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.running_stats import RunningStats

logger = logging.getLogger(__name__)


class News(NamedTuple):
    """What a process tells the first one.

    Attributes:
        process: its name, another one after a restart.
        number: of this piece of news; the same one again if it is not known whether the last one has arrived.
        learnt: what it has learnt since the last number.
        keeper: the name of the first process that has told it `known`; empty where none has.
        known: the last total that it was told.
    """

    process: str
    number: int
    learnt: RunningStats
    keeper: str
    known: RunningStats


class Total(NamedTuple):
    """What the first process answers: its name, another one after a restart, and the statistics of all."""

    keeper: str
    stats: RunningStats


class TotalKeeper:
    """Adds up what the processes learn; in the first one.

    Args:
        normalizer: the first process's own, which holds the total.
        changed: called when the total has changed.
    """

    def __init__(self, normalizer: Normalizer, changed: Callable[[], None]) -> None:
        self._normalizer = normalizer
        self._changed = changed
        self._name = uuid.uuid4().hex
        self._before = normalizer.stats
        """The total when this process started, as it was saved; or as another process knew it, if that was more."""
        self._of_others = RunningStats()
        self._numbers: dict[str, int] = {}
        """The last number of news that was added, by process."""

    def add(self, news: News) -> Total:
        """Add what a process has learnt, once, and tell it the total."""
        if news.keeper not in ("", self._name) and news.known.count > self._before.count:
            logger.warning("the running statistics of an earlier process are taken over: %d values", news.known.count)
            self._before = news.known  # from before this process started
        if news.number > self._numbers.get(news.process, 0):
            self._numbers[news.process] = news.number
            self._of_others = self._of_others.merge(news.learnt)
        total = self._before.merge(self._of_others).merge(self._normalizer.news)
        if total != self._normalizer.stats:
            self._normalizer.stats = total
            self._changed()
        return Total(self._name, total)


class NewsTeller:
    """Tells the first process what this one has learnt; in every other process.

    Args:
        normalizer: this process's own.
        tell: hands news to the first process and gets its answer.
    """

    def __init__(self, normalizer: Normalizer, tell: Callable[[News], Awaitable[Total]]) -> None:
        self._normalizer = normalizer
        self._tell = tell
        self._name = uuid.uuid4().hex
        self._number = 0
        self._on_the_way = RunningStats()
        self._total = Total("", RunningStats())

    async def tell(self) -> None:
        """Tell what is new, and take over the total. What fails is told again the next time; one call at a time."""
        if not self._on_the_way.count:
            self._on_the_way, self._normalizer.news = self._normalizer.news, RunningStats()
            self._number += 1
        news = News(self._name, self._number, self._on_the_way, *self._total)
        self._total = await self._tell(news)
        self._on_the_way = RunningStats()
        self._normalizer.stats = self._total.stats.merge(self._normalizer.news)
