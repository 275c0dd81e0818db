"""How far a long run is: a live bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_PERIOD_S = 30.0


class Meter:
    """Counts results and shows how many there are. Subclasses count more, and tell it in `rates` and `summary`.

    Args:
        console: where to show it.
        name: what is counted, in the plural.
        total: of these, in the input.
        before: of these, done by an earlier run.

    Attributes:
        now: done by this run.
        lost: of these, tried by this run without a result.
    """

    def __init__(self, console: Console, name: str, total: int, before: int = 0) -> None:
        self.name = name
        self.total = total
        self.before = before
        self.now = self.lost = 0
        self._console = console
        self._started = self._logged = time.monotonic()
        self._ended: float | None = None
        self._bar = Progress(
            TextColumn(name),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(name, total=total, completed=before, rates="")

    @property
    def seconds(self) -> float:
        """Seconds since the run began; never 0."""
        return max((self._ended or time.monotonic()) - self._started, 1e-3)

    @property
    def counts(self) -> str:
        """How many are done, as text."""
        counts = f"{self.before + self.now:,} of {self.total:,} {self.name}"
        return f"{counts} ({self.before:,} from before)" if self.before else counts

    @property
    def rates(self) -> str:
        """How fast it goes, in parts that are two spaces apart; stands beside the bar."""
        return ""

    @property
    def summary(self) -> str:
        """One line for a log."""
        return self.counts

    @property
    def missing(self) -> int:
        """How many have no result."""
        return self.total - self.before - self.now

    def count(self, record: Any) -> None:
        """Count one more that is done; `record` is its result."""
        self.now += 1
        self.show()

    def lose(self) -> None:
        """Count one that has no result."""
        self.lost += 1
        self.show()

    def show(self) -> None:
        """Bring what is shown up to date."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self.before + self.now, rates=self.rates)
        elif time.monotonic() - self._logged >= LOG_PERIOD_S:
            self._logged = time.monotonic()
            self._console.print(self.summary, soft_wrap=True, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._started = self._logged = time.monotonic()  # the models are loaded
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended = time.monotonic()
        self._bar.stop()
