"""The judge: group -> lists -> votes -> rewards, normalised over the whole group.

Names the order of these stages, as `lists.py` names that of a list. Neither knows a framework, HTTP, Ray or vLLM.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin.config import Config
from grm_plugin.errors import GroupError
from grm_plugin.judging.grouping import split_evenly
from grm_plugin.judging.lists import ListJudge, Sanitize, Timed
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.rewards import rewards_of
from grm_plugin.judging.sanitizing import sanitize, says_nothing
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import Group, Judgement, ListJudgement

logger = logging.getLogger(__name__)


class Judge:
    """Judges groups with a GRM.

    Args:
        config: sampling, judging, filtering and normalising; the engine sections are not looked at.
        generator: runs the GRM.
        meta_rm: rates critiques; None votes over all of them.
        on_judgement: called with every finished judgement (counters, traces); must not block.
        sanitize, timed: of `ListJudge`.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        meta_rm: MetaRM | None = None,
        on_judgement: Callable[[Judgement], None] | None = None,
        sanitize: Sanitize = sanitize,
        timed: Timed = lambda _: nullcontext(),
    ) -> None:
        self.config = config
        self.lists = ListJudge(config, generator, meta_rm, sanitize, timed)
        self.normalizer = Normalizer(config.normalize)
        self.on_judgement = on_judgement

    async def judge(self, groups: Sequence[Group], deadline: Deadline = NEVER) -> list[Judgement]:
        """Judge groups concurrently; one `Judgement` per group, its rewards in the order of its responses.

        Votes that are not in by `deadline` are lost votes; a response without any has the value None. What one group
        raises ends the others.

        Raises:
            GroupError: a group without a conversation or without responses.
            PromptError: the template cannot be rendered.
        """
        if not all(group.conversation and group.responses for group in groups):
            raise GroupError("a group needs a conversation of at least one turn and at least one response")
        return await all_of(self._judge(group, deadline) for group in groups)

    def begin(self, deadline: Deadline = NEVER) -> GroupInProgress:
        """A group whose lists may be put before the GRM one by one, as their responses arrive."""
        return GroupInProgress(self, deadline)

    def is_blank(self, response: str) -> bool:
        """Whether the blank rule gives this response its reward (`judge.blank_response`), and not the GRM."""
        return self.config.judge.blank_response == "minimum" and says_nothing(response, self.config.judge)

    def for_the_grm(self, group: Group) -> list[int]:
        """Indices of the responses that the GRM is asked about: all but blank ones."""
        return [index for index, response in enumerate(group.responses) if not self.is_blank(response)]

    async def _judge(self, group: Group, deadline: Deadline) -> Judgement:
        judged = self.begin(deadline)
        for members in split_evenly(self.for_the_grm(group), self.config.judge.list_size):
            judged.put(group, members)
        return await judged.conclude(group)


class GroupInProgress:
    """A group on its way: the lists that the GRM has already, then the rewards."""

    def __init__(self, judge: Judge, deadline: Deadline) -> None:
        self.deadline = deadline
        self._judge = judge
        self._began = time.monotonic()
        self._lists: list[asyncio.Task[list[ListJudgement]]] = []

    def put(self, group: Group, members: tuple[int, ...]) -> None:
        """Put responses before the GRM together; `members` are their indices in the group as it stands."""
        self._lists.append(asyncio.create_task(self._votes(group, members)))

    async def conclude(self, group: Group) -> Judgement:
        """The rewards of the whole group, once all its lists have their votes.

        Every response that was not put is blank, or has no vote.
        """
        try:
            lists = [judged for part in await asyncio.gather(*self._lists) for judged in part]
        finally:
            for task in self._lists:  # if one has failed the others are for nobody
                task.cancel()
        judge = self._judge
        blank = {index for index, text in enumerate(group.responses) if judge.is_blank(text)}
        rewards = rewards_of(len(group.responses), lists, blank, judge.normalizer)
        judgement = Judgement(group, rewards, tuple(lists), time.monotonic() - self._began)
        if judge.on_judgement:
            judge.on_judgement(judgement)
        return judgement

    async def _votes(self, group: Group, members: tuple[int, ...]) -> list[ListJudgement]:
        """The votes on a list; then, where the GRM answered and not one answer could be read, each response once more,
        alone.

        Otherwise a response that confuses the GRM, as a flood of repeats may, would take its siblings' rewards with it.
        """
        lists = self._judge.lists
        together = await lists.judge(group, members, self.deadline)
        silent = all(vote.reason.engine_failed for vote in together.unparsed)
        if together.critiques or silent or len(members) == 1:
            return [together]
        logger.warning("no critique of a list of %d responses could be read: each is judged alone", len(members))
        return [together, *await all_of(lists.judge(group, (member,), self.deadline) for member in members)]
