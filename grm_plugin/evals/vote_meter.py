"""What a run of `grm-plugin eval` counts while it collects or rates votes."""

from __future__ import annotations

from rich.console import Console

from grm_plugin.batch.meter import Meter
from grm_plugin.batch.vote_store import ItemVotes


class VoteMeter(Meter):
    """Counts items that have their votes, and the votes, those that could be read, and their tokens."""

    def __init__(self, console: Console, total: int, done_before: int) -> None:
        super().__init__(console, "items with votes", total, done_before)
        self.votes = self.parsed = self.tokens = 0

    def count(self, record: ItemVotes) -> None:
        self.votes += len(record.votes)
        self.parsed += sum(vote.scores is not None for vote in record.votes)
        self.tokens += sum(vote.tokens for vote in record.votes)
        super().count(record)

    @property
    def rates(self) -> str:
        share = f"{self.parsed / self.votes:.1%}" if self.votes else "-"
        speed = f"{self.done_now / self.seconds:,.2f} items/s  {self.tokens / self.seconds:,.0f} tokens/s"
        return f"{speed}  {share} of votes read"

    @property
    def summary(self) -> str:
        return f"{self.counts}; {self.rates.replace('  ', ', ')}" if self.done_now else self.counts
