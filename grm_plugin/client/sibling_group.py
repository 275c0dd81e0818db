"""Collects the samples of a prompt in a hook that gets them one by one, so that one call has them judged together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

from grm_plugin._util.concurrency import take_error
from grm_plugin.judging.fallback import SettledReward

Member = TypeVar("Member")


class SiblingGroup(Generic[Member]):
    """Members that are judged once, when `expected` of them are there or when somebody closes the group.

    Args:
        judge: the rewards of `members`, in order; not called for a group that is closed without any.
        on_close: called at once when the group takes no more members.
    """

    def __init__(
        self, judge: Callable[[], Coroutine[None, None, list[SettledReward]]], on_close: Callable[[], object]
    ) -> None:
        self.members: list[Member] = []
        self.expected = 0
        self.closed = False
        self._judge = judge
        self._on_close = on_close
        self._is_closed = asyncio.Event()
        self._rewards: asyncio.Task[list[SettledReward]] | None = None

    def add(self, member: Member) -> int:
        """The index of the new member."""
        self.members.append(member)
        self.close_if_complete()
        return len(self.members) - 1

    def close_if_complete(self) -> None:
        """To be called where `expected` has become smaller."""
        if len(self.members) >= self.expected:
            self.close()

    def close(self) -> None:
        """Have the group judged as it is, unless it is closed already."""
        if self.closed:
            return
        self.closed = True
        self._on_close()
        if self.members:
            self._rewards = asyncio.create_task(self._judge())
            self._rewards.add_done_callback(take_error)  # where all callers have left
        self._is_closed.set()

    async def wait(self) -> None:
        """Until the group is closed."""
        await self._is_closed.wait()

    async def reward_of(self, index: int) -> SettledReward:
        """The reward of a member, once the group is closed and judged. Raises what `judge` raises."""
        await self.wait()
        assert self._rewards is not None
        # A caller that is cancelled must not take its siblings' judgement with it.
        return (await asyncio.shield(self._rewards))[index]
