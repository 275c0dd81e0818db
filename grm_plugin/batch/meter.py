"""How far a long run is: a live bar on a terminal, a line every 30 s in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_PERIOD_S = 30.0


class Meter:
    """Counts the results of a run and shows their number. Subclasses count more and show it in `rates` and `summary`.

    As a context manager it shows the bar and measures the time within the block.

    Args:
        console: where to show it.
        name: what is counted, in the plural ("groups").
        total: how many there are in the input.
        done_before: how many of them have a result of an earlier run.

    Attributes:
        done_now: how many got a result in this run.
        failed: how many were tried in this run and got none.
    """

    def __init__(self, console: Console, name: str, total: int, done_before: int = 0) -> None:
        self.name = name
        self.total = total
        self.done_before = done_before
        self.done_now = self.failed = 0
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
        self._task = self._bar.add_task(name, total=total, completed=done_before, rates="")

    @property
    def seconds(self) -> float:
        """Seconds since the block began, up to its end; never 0."""
        return max((self._ended or time.monotonic()) - self._started, 1e-3)

    @property
    def counts(self) -> str:
        """How many have a result, as text."""
        counts = f"{self.done_before + self.done_now:,} of {self.total:,} {self.name}"
        return f"{counts} ({self.done_before:,} from before)" if self.done_before else counts

    @property
    def rates(self) -> str:
        """How fast the run goes, in parts that are two spaces apart; stands beside the bar."""
        return ""

    @property
    def summary(self) -> str:
        """One line for a log."""
        return self.counts

    @property
    def missing(self) -> int:
        """How many have no result."""
        return self.total - self.done_before - self.done_now

    def count(self, record: Any) -> None:
        """Count one more result."""
        self.done_now += 1
        self.show()

    def count_failed(self) -> None:
        """Count one that was tried and has no result."""
        self.failed += 1
        self.show()

    def show(self) -> None:
        """Bring the bar up to date, or write a line to the log if the last one is 30 s old."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=self.done_before + self.done_now, rates=self.rates)
        elif time.monotonic() - self._logged >= LOG_PERIOD_S:
            self._logged = time.monotonic()
            self._console.print(self.summary, soft_wrap=True, markup=False, highlight=False)

    def __enter__(self) -> Self:
        self._started = self._logged = time.monotonic()  # not the time that loading the models took
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended = time.monotonic()
        self._bar.stop()
