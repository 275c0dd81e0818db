"""What a run of `grm-plugin eval` has collected so far."""

from __future__ import annotations

from rich.console import Console

from grm_plugin.batch.meter import Meter
from grm_plugin.batch.vote_store import ItemVotes


class VoteMeter(Meter):
    """Counts items that have their votes: `before` of `total` were in the store already."""

    def __init__(self, console: Console, total: int, before: int) -> None:
        super().__init__(console, "items with votes", total, before)
        self.votes = self.parsed = self.tokens = 0

    def count(self, record: ItemVotes) -> None:
        self.votes += len(record.votes)
        self.parsed += sum(vote.scores is not None for vote in record.votes)
        self.tokens += sum(vote.tokens for vote in record.votes)
        super().count(record)

    @property
    def rates(self) -> str:
        share = f"{self.parsed / self.votes:.1%}" if self.votes else "-"
        speed = f"{self.now / self.seconds:,.2f} items/s  {self.tokens / self.seconds:,.0f} tokens/s"
        return f"{speed}  {share} of votes read"

    @property
    def summary(self) -> str:
        return f"{self.counts}; {self.rates.replace('  ', ', ')}" if self.now else self.counts
