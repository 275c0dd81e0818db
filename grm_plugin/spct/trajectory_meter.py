"""What `grm-plugin spct rft-data` has collected so far."""

from __future__ import annotations

from rich.console import Console

from grm_plugin.batch.meter import Meter
from grm_plugin.spct.rejection import Decision, Rules
from grm_plugin.spct.trajectories import ItemTrajectories


class TrajectoryMeter(Meter):
    """Counts items: `before` of `total` had a record already; `rules` say what of them will be kept."""

    def __init__(self, console: Console, total: int, before: int, rules: Rules) -> None:
        super().__init__(console, "items", total, before)
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
        kept = f"  keeps {self.kept / self.trajectories:.0%}  easy {self.easy / self.now:.0%}" if self.now else ""
        return f"{self.tokens / self.seconds:,.0f} tokens/s{kept}"

    @property
    def summary(self) -> str:
        parts = [self.counts]
        if self.now:
            parts.append(self.rates.replace("  ", ", "))
        if self.lost:
            parts.append(f"{self.lost:,} items lost")
        return "; ".join(parts)
