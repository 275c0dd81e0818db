"""Which groups a reader of the traces wants to see, and in which order; and that as SQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from grm_plugin.trace.stored_trace import spaced

_TERM = re.compile(r'"([^"]+)"|(\S+)')
"""A term of a search: words in quotes, or one word."""


class Sort(StrEnum):
    """Which groups come first. "disputed": those whose votes differ most."""

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
    """Conditions that a group must all meet, and the order of the groups that do.

    Attributes:
        text: words that all must stand in the group's prompt, responses and critiques. Words in double quotes must
            stand next to each other; begin* matches words that begin so.
        min_reward: at least one reward of the group is this or higher.
        max_reward: at least one reward of the group is this or lower.
        min_spread: the least spread of the votes (mean over the responses), in points of the 1..10 scale.
        unparsed: at least one vote was lost.
        fallback: at least one reward is missing.
        sort: which groups come first.
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
        """The SQL expression over `traces AS t` by which groups are ordered, the highest value first."""
        return _KEYS[self.sort]

    @property
    def restricts(self) -> bool:
        """Whether it has any condition."""
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
    """The FTS5 expression of a search text; empty if there is nothing to search for. It is valid for any text."""
    terms = []
    for quoted, word in _TERM.findall(text[:1000]):
        words = " ".join(re.findall(r"\w+", spaced(quoted or word)))
        if words:
            terms.append(f'"{words}"' + "*" * word.endswith("*"))
    return " AND ".join(terms)
