"""What `grm-plugin score` counts while it runs."""

from __future__ import annotations

from rich.console import Console

from grm_plugin.batch.meter import Meter
from grm_plugin.score.results import JudgedGroup


class ScoreMeter(Meter):
    """Counts groups, and their rewards, lost votes and tokens."""

    def __init__(self, console: Console, total: int, done_before: int) -> None:
        super().__init__(console, "groups", total, done_before)
        self.rewards = self.fallbacks = self.unread = 0
        self.tokens = 0.0

    def count(self, record: JudgedGroup) -> None:
        judgement = record.judgement
        self.rewards += len(judgement.rewards)
        self.fallbacks += sum(reward.value is None for reward in judgement.rewards)
        self.unread += len(judgement.unparsed)
        self.tokens += sum(reward.tokens for reward in judgement.rewards)
        super().count(record)

    @property
    def rates(self) -> str:
        return f"{self.rewards / self.seconds:,.1f} rewards/s  {self.tokens / self.seconds:,.0f} tokens/s"

    @property
    def summary(self) -> str:
        parts = [self.counts]
        if self.done_now:
            parts.append(f"{self.rewards:,} rewards now, {self.rates.replace('  ', ', ')}")
        if self.unread:
            parts.append(f"{self.unread:,} votes unread")
        if self.fallbacks:
            parts.append(f"{self.fallbacks:,} rewards are fallbacks (value null)")
        return "; ".join(parts)
