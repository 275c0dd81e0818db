"""Totals since the start of the service, for `/info` and `/metrics`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from grm_plugin.types import Judgement


@dataclass(slots=True)
class Counters:
    """Plain running totals; written from one event loop only. `metrics.COUNTER_METRICS` says what each counts."""

    requests: int = 0
    samples: int = 0
    groups: int = 0
    incomplete_groups: int = 0
    alone: int = 0
    copies: int = 0
    votes_asked: int = 0
    votes_parsed: int = 0
    votes_kept: int = 0
    votes_forced: int = 0
    votes_tiebreak: int = 0
    fallbacks: int = 0
    blank: int = 0
    cut_responses: int = 0
    meta_failures: int = 0
    deadline_misses: int = 0
    refused: int = 0
    unreadable: int = 0
    tokens: int = 0

    def add(self, judgement: Judgement) -> None:
        """Count one judged group."""
        self.groups += 1
        self.blank += sum(reward.status == "blank" for reward in judgement.rewards)
        self.copies += sum(reward.same_as is not None for reward in judgement.rewards)
        self.cut_responses += sum(reward.cut > 0 for reward in judgement.rewards)
        for judged in judgement.lists:
            self.votes_asked += judged.asked
            self.votes_parsed += len(judged.critiques)
            self.votes_kept += sum(critique.kept for critique in judged.critiques)
            self.votes_forced += sum(critique.forced for critique in judged.critiques)
            self.votes_tiebreak += judged.asked if judged.purpose == "tiebreak" else 0
            self.meta_failures += bool(judged.meta_error)
            self.tokens += judged.tokens

    def as_dict(self) -> dict[str, float]:
        """The name of each total and its value."""
        return asdict(self)
