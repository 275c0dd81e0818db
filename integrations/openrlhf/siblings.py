"""Groups of the agent hook: the samples of a prompt sign in when they start, so it is known how many will come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from grm_plugin.client.sibling_group import SiblingGroup
from grm_plugin.errors import GroupError
from grm_plugin.judging.fallback import SettledReward

JudgeGroup = Callable[[str, Sequence[str], object, bool, int], Coroutine[None, None, list[SettledReward]]]
"""The rewards of the responses to a prompt with a label, in order; then whether to learn from them, and how many
samples had signed in."""

GENERATION_DEADLINE_S = 3600.0
"""Longest wait for siblings that still generate. OpenRLHF waits for them without end."""


class SiblingGroups:
    """The groups of one event loop that are not complete yet."""

    def __init__(self, judge: JudgeGroup) -> None:
        self._judge = judge
        self._open: dict[tuple[int, str], SignedInGroup] = {}

    def join(self, shared: object, prompt: str, label: object, learn: bool = True) -> SignedInGroup:
        """Sign in a sample. Samples with the same `shared` object and prompt are siblings.

        To be called before the sample awaits anything, so that all siblings are signed in before the first has a
        response. Every sample that joins must end in one call of `SignedInGroup.reward` or `SignedInGroup.give_up`.
        `learn` is False in evaluation, for all siblings alike.
        """
        key = (id(shared), prompt)
        if key not in self._open:
            opened = self._open[key] = SignedInGroup(
                lambda: self._judge(prompt, opened.members, label, learn, opened.joined), lambda: self._open.pop(key)
            )
            opened.shared = shared
        self._open[key].expected += 1
        self._open[key].joined += 1
        return self._open[key]


class SignedInGroup(SiblingGroup[str]):
    """Responses that are judged together as soon as the last of those that have signed in is there or has given up."""

    joined = 0
    """Samples that have signed in: the job's samples per prompt, once all have started."""
    shared: object
    """Held, so that no other object gets its id while the group is open."""

    async def reward(self, response: str) -> SettledReward:
        """The reward of this response, once the group is judged.

        Raises:
            GroupError: a sibling neither came nor gave up within `GENERATION_DEADLINE_S`.
        """
        index = self.add(response)
        try:
            async with asyncio.timeout(GENERATION_DEADLINE_S):
                await self.wait()
        except TimeoutError:
            raise GroupError(
                f"{self.expected - len(self.members)} of {self.expected} samples of a prompt were still generating "
                f"after {GENERATION_DEADLINE_S:g} s; see whether the policy's vLLM engine still works"
            ) from None
        return await self.reward_of(index)

    def give_up(self) -> None:
        """This sample has no response: the others go on without it."""
        self.expected -= 1
        self.close_if_complete()
