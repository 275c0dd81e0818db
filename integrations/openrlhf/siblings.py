"""Groups of the agent hook: the samples of a prompt sign in when they start, so it is known how many will come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from grm_plugin.client.settled_rewards import SettledReward
from grm_plugin.errors import GroupError

JudgeGroup = Callable[[str, Sequence[str], object, bool, int], Coroutine[None, None, list[SettledReward]]]
"""The rewards of the responses to a prompt with a label, in order; then whether to learn from them, and how many
samples had signed in."""

GENERATION_DEADLINE_S = 3600.0
"""Longest wait for siblings that still generate. OpenRLHF waits for them without end."""


class SiblingGroups:
    """The groups of one event loop that are not complete yet."""

    def __init__(self, judge: JudgeGroup) -> None:
        self._judge = judge
        self._open: dict[tuple[int, str], SiblingGroup] = {}

    def join(self, shared: object, prompt: str, label: object, learn: bool = True) -> SiblingGroup:
        """Sign in a sample. Samples with the same `shared` object and prompt are siblings.

        To be called before the sample awaits anything, so that all siblings are signed in before the first has a
        response. Every sample that joins must end in one call of `SiblingGroup.reward` or `SiblingGroup.give_up`.
        `learn` is False in evaluation, for all siblings alike.
        """
        key = (id(shared), prompt)
        if key not in self._open:
            self._open[key] = SiblingGroup(
                self._judge, shared, prompt, label, learn, on_close=lambda: self._open.pop(key)
            )
        self._open[key].expected += 1
        self._open[key].joined += 1
        return self._open[key]


class SiblingGroup:
    """Samples that are judged together as soon as the last of them has a response or has given up."""

    def __init__(
        self,
        judge: JudgeGroup,
        shared: object,
        prompt: str,
        label: object,
        learn: bool,
        on_close: Callable[[], object],
    ) -> None:
        self.joined = 0
        """Samples that have signed in: the job's samples per prompt, once all have started."""
        self.expected = 0
        """Of these, those that have not given up."""
        self._learn = learn
        self._judge = judge
        self._shared = shared  # held, so that no other object gets its id while the group is open
        self._prompt = prompt
        self._label = label
        self._on_close = on_close
        self._responses: list[str] = []
        self._closed = asyncio.Event()
        self._rewards: asyncio.Task[list[SettledReward]] | None = None

    async def reward(self, response: str) -> SettledReward:
        """The reward of this response, once the group is judged.

        Raises:
            GroupError: a sibling neither came nor gave up within `GENERATION_DEADLINE_S`.
        """
        index = len(self._responses)
        self._responses.append(response)
        self._close_if_complete()
        try:
            async with asyncio.timeout(GENERATION_DEADLINE_S):
                await self._closed.wait()
        except TimeoutError:
            raise GroupError(
                f"{self.expected - len(self._responses)} of {self.expected} samples of a prompt were still generating "
                f"after {GENERATION_DEADLINE_S:g} s; see whether the policy's vLLM engine still works"
            ) from None
        assert self._rewards is not None
        # A sibling that is cancelled while it waits must not take the others' judgement with it.
        return (await asyncio.shield(self._rewards))[index]

    def give_up(self) -> None:
        """This sample has no response: the others go on without it."""
        self.expected -= 1
        self._close_if_complete()

    def _close_if_complete(self) -> None:
        if len(self._responses) < self.expected:
            return
        self._on_close()
        self._closed.set()
        if self._responses:
            judging = self._judge(self._prompt, tuple(self._responses), self._label, self._learn, self.joined)
            self._rewards = asyncio.create_task(judging)
