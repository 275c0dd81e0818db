"""Grouping: how many lists a group makes, and how single samples become groups.

Pure bookkeeping: it owns neither tasks nor a clock (`serving/gathering.py` does).
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
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
    sees at most `list_size` of them together. `copies` holds those that never are, each with the earlier response whose
    text it repeats.
    """

    key: Key
    first: Sample
    expected: int
    list_size: int
    responses: list[str] = field(default_factory=list)
    unlisted: list[int] = field(default_factory=list)
    copies: dict[int, int] = field(default_factory=dict)
    _firsts: dict[str, int] = field(default_factory=dict)
    """The first response of each text, as the GRM is shown it."""

    @property
    def complete(self) -> bool:
        return len(self.responses) >= self.expected

    def add(self, response: str, shown: str | None) -> int:
        """Take in a response, which the GRM is shown as `shown`, or not at all; returns its index."""
        index = len(self.responses)
        self.responses.append(response)
        if shown is not None:
            first = self._firsts.setdefault(shown, index)
            if first == index:
                self.unlisted.append(index)
            else:
                self.copies[index] = first
        return index

    def snapshot(self) -> Group:
        """The group as it stands."""
        first = self.first
        responses = tuple(self.responses)
        return Group(first.conversation, responses, first.reference, first.rubric, first.criteria, first.source)

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

    Samples belong together when identity, conversation, reference, rubric, criteria, source, n and `learn` are equal.
    So two equal prompts in one batch fill one group after the other, which is as good: their samples answer the same
    request.

    A group may be closed (`close`) while siblings are missing. Those that come later form a group of their own, of as
    many as were missing, and this is expected for `keep_s` seconds. If they never come, the next samples of the prompt
    are taken for them, once, and form one group that is too small.
    """

    def __init__(self, list_size: int, keep_s: float) -> None:
        self.list_size = list_size
        self.keep_s = keep_s
        self._open: dict[Key, OpenGroup] = {}
        self._missing: OrderedDict[Key, tuple[int, float]] = OrderedDict()
        """How many siblings of a closed group may still come, and until when that is expected; the oldest first."""
        self._latecomers: OrderedDict[Key, float] = OrderedDict()
        """Prompts for whose late siblings a group was opened, and until when that is remembered; the oldest first."""

    def add(
        self,
        sample: Sample,
        n: int,
        now: float,
        listed: bool = True,
        shown: str | None = None,
        learn: bool = True,
    ) -> tuple[OpenGroup, int]:
        """Put a sample into its group; returns the group and the sample's index in it. A complete group is closed.

        Args:
            sample: the sample.
            n: samples of its prompt.
            now: the time, in seconds; never earlier than in a call before.
            listed: False counts the sample as a member without putting it before the GRM.
            shown: its response as the GRM is shown it; None takes it as it is. One that repeats an earlier one of its
                group is not put before the GRM again.
            learn: whether the group's votes are learnt from.
        """
        key = _key(sample, n, learn)
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = OpenGroup(key, sample, self._expected(key, n, now), self.list_size)
        index = group.add(sample.response, (sample.response if shown is None else shown) if listed else None)
        if group.complete:
            del self._open[key]
        return group, index

    def waits_for(self, sample: Sample, n: int, learn: bool = True) -> bool:
        """Whether a group is open that this sample would join."""
        return _key(sample, n, learn) in self._open

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
            self._missing.move_to_end(group.key)

    def _expected(self, key: Key, n: int, now: float) -> int:
        """How many samples a new group waits for. What has expired is dropped on the way, each entry once.

        Entries are added in the order of time. Those of `_latecomers` expire before `keep_s` is over, so one may stay
        behind a younger one, for at most `keep_s`; `close` looks at its time.
        """
        while self._missing and next(iter(self._missing.values()))[1] <= now:
            self._missing.popitem(last=False)
        while self._latecomers and next(iter(self._latecomers.values())) <= now:
            self._latecomers.popitem(last=False)
        if key not in self._missing:
            return n
        missing, until = self._missing.pop(key)
        self._latecomers[key] = until
        self._latecomers.move_to_end(key)
        return missing


def _key(sample: Sample, n: int, learn: bool) -> Key:
    """What siblings have in common."""
    said = sample.reference, sample.rubric, sample.criteria, sample.source
    return sample.identity, sample.conversation, *said, n, learn
