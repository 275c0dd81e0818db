"""Which groups a reader wants to see, and in which order: `Filter` -> SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from grm_plugin.trace.stored_trace import spaced

_TERM = re.compile(r'"([^"]+)"|(\S+)')


class Sort(StrEnum):
    """Which groups come first."""

    NEWEST = "newest"
    LOWEST = "lowest"
    HIGHEST = "highest"
    DISPUTED = "disputed"
    SLOWEST = "slowest"


_KEYS = {
    Sort.NEWEST: "t.id",
    Sort.LOWEST: "-coalesce(t.reward_min, 1e300)",
    Sort.HIGHEST: "coalesce(t.reward_max, -1e300)",
    Sort.DISPUTED: "coalesce(t.spread, -1)",
    Sort.SLOWEST: "t.latency_s",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that all must hold.

    Attributes:
        text: words that the prompt, a response or a critique holds; "quoted" ones next to each other, and begin* for
            the start of a word.
        min_reward, max_reward: some reward of the group reaches up, or down, to it.
        min_spread: mean spread of the votes, in points of the 1..10 scale.
        unparsed, fallback: at least one vote was lost; at least one reward is missing.
        sort: what comes first; every key sorts downwards.
    """

    text: str = ""
    min_reward: float | None = None
    max_reward: float | None = None
    min_spread: float | None = None
    unparsed: bool = False
    fallback: bool = False
    sort: Sort = Sort.NEWEST

    @property
    def key(self) -> str:
        """The SQL expression that is sorted downwards, over `traces AS t`."""
        return _KEYS[self.sort]

    @property
    def selects(self) -> bool:
        """Whether it leaves anything out."""
        return self.where() != ("1", [])

    def where(self) -> tuple[str, list[str | float]]:
        """The SQL condition over `traces AS t`, and its parameters."""
        clauses: list[str] = []
        values: list[str | float] = []
        for clause, value in (
            ("t.reward_max >= ?", self.min_reward),
            ("t.reward_min <= ?", self.max_reward),
            ("t.spread >= ?", self.min_spread),
        ):
            if value is not None:
                clauses.append(clause)
                values.append(value)
        if self.unparsed:
            clauses.append("t.parsed < t.asked")
        if self.fallback:
            clauses.append("t.fallbacks > 0")
        if match := to_match(self.text):
            clauses.append("t.id IN (SELECT rowid FROM search WHERE search MATCH ?)")
            values.append(match)
        return " AND ".join(clauses) or "1", values


def to_match(text: str) -> str:
    """An FTS5 expression for what a reader types; empty for nothing to look for. Never a syntax error."""
    terms = []
    for quoted, word in _TERM.findall(text[:1000]):
        words = " ".join(re.findall(r"\w+", spaced(quoted or word)))
        if words:
            terms.append(f'"{words}"' + "*" * word.endswith("*"))
    return " AND ".join(terms)
