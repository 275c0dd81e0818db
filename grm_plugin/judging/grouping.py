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

    Samples belong together when identity, conversation, reference, rubric and n are equal. So two equal prompts in one
    batch fill one group after the other, which is as good: their samples answer the same request.

    A group may be closed (`close`) while siblings are missing. Those that come later form a group of their own, of as
    many as were missing, and this is expected for `keep_s` seconds. If they never come, the next samples of the prompt
    are taken for them, once, and form one group that is too small.
    """

    def __init__(self, list_size: int, keep_s: float) -> None:
        self.list_size = list_size
        self.keep_s = keep_s
        self._open: dict[Key, OpenGroup] = {}
        self._missing: dict[Key, tuple[int, float]] = {}
        """How many siblings of a closed group may still come, and until when that is expected."""
        self._latecomers: dict[Key, float] = {}
        """Prompts for whose late siblings a group was opened, and until when that is remembered."""

    def add(self, sample: Sample, n: int, now: float, listed: bool = True) -> tuple[OpenGroup, int]:
        """Put a sample into its group; returns the group and the sample's index in it.

        `listed=False` counts the sample as a member without putting it before the GRM. A complete group is closed.
        """
        key = (sample.identity, sample.conversation, sample.reference, sample.rubric, n)
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

    def close(self, group: OpenGroup, now: float) -> None:
        """Stop waiting for a group's missing siblings. Closing a complete group changes nothing."""
        if self._open.get(group.key) is not group:
            return
        del self._open[group.key]
        # A group opened for late siblings that lacks some again was filled by the first samples of the next group: the
        # late ones never came, and there is nothing more to wait for.
        of_latecomers = self._latecomers.pop(group.key, now) > now
        if not of_latecomers:
            self._missing[group.key] = (group.expected - len(group.responses), now + self.keep_s)

    def _expected(self, key: Key, n: int, now: float) -> int:
        self._missing = {other: entry for other, entry in self._missing.items() if entry[1] > now}
        self._latecomers = {other: until for other, until in self._latecomers.items() if until > now}
        if key not in self._missing:
            return n
        missing, until = self._missing.pop(key)
        self._latecomers[key] = until
        return missing
