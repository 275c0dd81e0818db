"""What `grm-plugin spct rft-data` counts while it runs."""

from __future__ import annotations

from rich.console import Console

from grm_plugin.batch.meter import Meter
from grm_plugin.spct.rejection import Decision, RejectionRules
from grm_plugin.spct.trajectories import ItemTrajectories


class TrajectoryMeter(Meter):
    """Counts items, and their trajectories, easy ones, those that `rules` keep, and tokens."""

    def __init__(self, console: Console, total: int, done_before: int, rules: RejectionRules) -> None:
        super().__init__(console, "items", total, done_before)
        self._rules = rules
        self.tokens = self.kept = self.trajectories = self.easy = 0

    def count(self, record: ItemTrajectories) -> None:
        self.easy += record.easy
        self.trajectories += len(record.trajectories)
        self.kept += sum(self._rules.decide(record, each) is Decision.KEPT for each in record.trajectories)
        self.tokens += sum(each.tokens for each in record.trajectories)
        super().count(record)

    @property
    def rates(self) -> str:
        speed = f"{self.tokens / self.seconds:,.0f} tokens/s"
        if not self.done_now:
            return speed
        return f"{speed}  keeps {self.kept / self.trajectories:.0%}  easy {self.easy / self.done_now:.0%}"

    @property
    def summary(self) -> str:
        parts = [self.counts]
        if self.done_now:
            parts.append(self.rates.replace("  ", ", "))
        if self.failed:
            parts.append(f"{self.failed:,} items failed")
        return "; ".join(parts)
