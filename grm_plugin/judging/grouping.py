"""Grouping: how many lists a group makes, and how single samples become groups.

Pure bookkeeping: it owns neither tasks nor a clock (`serving/gathering.py` does).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from grm_plugin.types import Group, Sample


def split_evenly(members: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Split into as few parts of at most `size` as possible, of nearly equal length (5 by 4 gives 3 + 2, not 4 + 1).

    Equal lengths matter: scores of a list of one and of a list of four are not quite the same measure.
    """
    parts = -(-len(members) // size)
    bounds = [-(-part * len(members) // parts) for part in range(parts + 1)] if parts else [0]
    return [tuple(members[start:end]) for start, end in itertools.pairwise(bounds)]


Key = tuple[object, ...]


@dataclass(slots=True)
class OpenGroup:
    """A group that still waits for siblings.

    `expected` samples make it complete. `unlisted` holds the indices of responses not yet put before the GRM, which
    sees at most `list_size` of them together.
    """

    key: Key
    first: Sample
    expected: int
    list_size: int
    responses: list[str] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return len(self.responses) >= self.expected

    def snapshot(self) -> Group:
        """The group as it stands."""
        return Group(self.first.conversation, tuple(self.responses), self.first.reference, self.first.rubric)

    def take_full_list(self) -> tuple[int, ...] | None:
        """Members for the next list once enough have arrived, else None. The lists are those of `split_evenly`."""
        if not self.unlisted:
            return None
        to_come = self.expected - len(self.responses)
        length = len(split_evenly(range(len(self.unlisted) + to_come), self.list_size)[0])
        if len(self.unlisted) < length:
            return None
        taken, self.unlisted = tuple(self.unlisted[:length]), self.unlisted[length:]
        return taken

    def take_rest(self) -> list[tuple[int, ...]]:
        """Lists for whatever has arrived and is not yet judged."""
        rest, self.unlisted = self.unlisted, []
        return split_evenly(rest, self.list_size)


class GroupBuffer:
    """Gathers the samples of a prompt into groups of n.

    Samples belong together when conversation, reference, rubric and n are equal; so two equal prompts in one batch fill
    one group after the other, which is as good: their samples answer the same request. Siblings that arrive after
    their group was closed (`close`) form a smaller group of as many as were missing; that is forgotten after `keep_s`.
    If they never come, the next samples of the prompt are split by mistake once, and only once.
    """

    def __init__(self, list_size: int, keep_s: float) -> None:
        self.list_size = list_size
        self.keep_s = keep_s
        self._open: dict[Key, OpenGroup] = {}
        self._late: dict[Key, tuple[int, float]] = {}
        self._paid: dict[Key, float] = {}

    def add(self, sample: Sample, n: int, now: float, listed: bool = True) -> tuple[OpenGroup, int]:
        """Put a sample into its group; returns the group and the sample's index in it.

        `listed=False` counts the sample as a member without putting it before the GRM. A complete group is closed.
        """
        key = (sample.conversation, sample.reference, sample.rubric, n)
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = OpenGroup(key, sample, self._expected(key, n, now), self.list_size)
        index = len(group.responses)
        group.responses.append(sample.response)
        if listed:
            group.unlisted.append(index)
        if group.complete:
            del self._open[key]
        return group, index

    def close(self, group: OpenGroup, now: float, surely_late: bool = False) -> None:
        """Stop waiting for a group's missing siblings. Closing a complete group changes nothing.

        `surely_late`: the missing ones are known to come, however often the rest of a group was closed before.
        """
        if self._open.get(group.key) is not group:
            return
        del self._open[group.key]
        # Short right after a group of late siblings: those were not late ones but this group's own first samples.
        if self._paid.pop(group.key, now) <= now or surely_late:
            self._late[group.key] = (group.expected - len(group.responses), now + self.keep_s)

    def _expected(self, key: Key, n: int, now: float) -> int:
        self._late = {late: entry for late, entry in self._late.items() if entry[1] > now}
        self._paid = {paid: until for paid, until in self._paid.items() if until > now}
        if key not in self._late:
            return n
        missing, until = self._late.pop(key)
        self._paid[key] = until
        return missing
