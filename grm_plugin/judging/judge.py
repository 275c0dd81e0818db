"""The judge: group -> lists -> votes -> rewards, normalised over the whole group.

Names the order of these stages, as `lists.py` names that of a list. Neither knows a framework, HTTP, Ray or vLLM.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from grm_plugin._util.concurrency import all_of, let_go
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin._util.log_once import OncePerMinute
from grm_plugin.config import Config, lone_response
from grm_plugin.errors import ConfigError, GroupError
from grm_plugin.judging.applying import Applying
from grm_plugin.judging.grouping import split_evenly
from grm_plugin.judging.length import LengthCorrelation
from grm_plugin.judging.lists import ListJudge, Sanitize
from grm_plugin.judging.modes import Modes
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.reliability import Reliability
from grm_plugin.judging.rewards import rewards_of
from grm_plugin.judging.ruling import Ruling, asks_grm
from grm_plugin.judging.sanitizing import sanitize, says_nothing
from grm_plugin.judging.seams import Generator, ListVoter, MetaRM, Rules, Wanted
from grm_plugin.types import Group, Judgement, ListJudgement, Unparsed, UnparsedReason

logger = logging.getLogger(__name__)

NO_COPIES: Mapping[int, int] = MappingProxyType({})


class Judge:
    """Judges groups with a GRM.

    Args:
        config: sampling, judging, filtering and normalising; the engine sections are not looked at.
        grm: runs the GRM; or judges whole lists, with a meta RM of its own.
        meta_rm: rates critiques; None votes over all of them.
        rules: runs the user's rules; needed where the configuration has some.
        on_judgement: called with every finished judgement (counters, traces); must not block.
        sanitize: of `ListJudge`.

    Raises:
        ConfigError: the configuration has rules and there is nothing to run them; or the file of the principles cannot
            be read.
    """

    def __init__(
        self,
        config: Config,
        grm: Generator | ListVoter,
        meta_rm: MetaRM | None = None,
        on_judgement: Callable[[Judgement], None] | None = None,
        sanitize: Sanitize = sanitize,
        rules: Rules | None = None,
    ) -> None:
        if rules is None and any(criterion.kind == "rule" for criterion in config.judge.criteria):
            raise ConfigError("judge.criteria has rules, and nothing runs them: give the judge a rules.RuleRunner")
        self.config = config
        self.rules = rules
        self.applying = Applying(config.judge)
        self.lists = grm if isinstance(grm, ListVoter) else ListJudge(config, grm, meta_rm, sanitize)
        self._sanitize = sanitize
        self.normalizer = Normalizer(config.normalize)
        self.reliability = Reliability(lambda n: next(iter(config.sampling.looks(n)), None))
        self.length = LengthCorrelation()
        self.on_judgement = on_judgement
        self.no_pair = OncePerMinute(logger)
        self.rule_failed = OncePerMinute(logger)
        self.modes = Modes(config)

    async def judge(
        self, groups: Sequence[Group], deadline: Deadline = NEVER, learn: bool = True, texts: bool = True
    ) -> list[Judgement]:
        """Judge groups concurrently; one `Judgement` per group, its rewards in the order of its responses.

        Votes that are not in by `deadline` are lost votes; a response without any has the value None. What one group
        raises ends the others. `learn=False` is for evaluation: method `running` does not learn from the groups. With
        `texts=False` the critiques come without their texts.

        Raises:
            GroupError: a group without a conversation or without responses; or, unless it is evaluation, one of a
                single response where the method compares responses (`group`, `rank`).
            PromptError: the template cannot be rendered.
        """
        for group in groups:
            if not (group.conversation and group.responses):
                raise GroupError("a group needs a conversation of at least one turn and at least one response")
            alone = learn and lone_response(self.config.normalize.method, len(group.responses))
            if alone:
                raise GroupError(f"{alone}: give all responses to the prompt, or set normalize.method to unit")
        return await all_of(self.judge_group(group, deadline, learn, texts) for group in groups)

    async def judge_group(
        self, group: Group, deadline: Deadline = NEVER, learn: bool = True, texts: bool = True
    ) -> Judgement:
        """Judge one group, as `judge` does; also what is left of one whose other responses did not come."""
        shown: dict[str, int] = {}
        copies: dict[int, int] = {}
        for index in self.for_the_grm(group):
            first = shown.setdefault(self.as_shown(group.responses[index], group.source), index)
            if first != index:
                copies[index] = first
        judged = self.begin(deadline, learn, texts)
        for members in split_evenly(list(shown.values()), self.modes.gathered):
            judged.put(group, members)
        return await judged.conclude(group, copies)

    def begin(self, deadline: Deadline = NEVER, learn: bool = True, texts: bool = True) -> GroupInProgress:
        """A group whose lists may be put before the GRM one by one, as their responses arrive. See `judge`."""
        return GroupInProgress(self, deadline, learn, texts)

    def without_votes(self, group: Group) -> Judgement:
        """The judgement of a group of which no list was judged: blank responses have their reward by rule."""
        group = self.applying.applied(group)
        rewards = rewards_of(group, self.config.judge, (), self.blank(group), {}, self.normalizer, learn=False)
        return Judgement(group, rewards)

    def as_shown(self, response: str, source: str | None = None) -> str:
        """The response as the GRM reads it; where rules read it too, as it is. Responses that read the same share their
        votes, and what rules say of them."""
        if self.config.judge.rules_for(source):
            return response
        shown, _ = self._sanitize(Group((), (response,)), (0,), self.config.judge, None)
        return shown.responses[0]

    def blank(self, group: Group) -> set[int]:
        """Indices of the responses that the blank rule gives their reward."""
        return {index for index, response in enumerate(group.responses) if self.is_blank(response)}

    def is_blank(self, response: str) -> bool:
        """Whether the blank rule gives this response its reward (`judge.blank_response`), and not the GRM."""
        return self.config.judge.blank_response == "minimum" and says_nothing(response, self.config.judge)

    def for_the_grm(self, group: Group) -> list[int]:
        """Indices of the responses that the GRM is asked about: all but blank ones."""
        blank = self.blank(group)
        return [index for index in range(len(group.responses)) if index not in blank]


class GroupInProgress:
    """A group on its way: the lists that the GRM has already, then the rewards."""

    def __init__(self, judge: Judge, deadline: Deadline, learn: bool, texts: bool) -> None:
        self.deadline = deadline
        self.learn = learn
        self._texts = texts
        self._judge = judge
        self._ruling = Ruling(judge.config.judge, judge.rules, deadline)
        self._began = time.monotonic()
        self._applied: Group | None = None
        self._puts: list[asyncio.Task[None]] = []
        self._lists: list[tuple[int, asyncio.Task[list[ListJudgement]]]] = []
        """Each with the number of the put that it belongs to: a list that rules keep waiting stays in its place."""

    def put(self, group: Group, members: tuple[int, ...]) -> None:
        """Put responses before the GRM together; `members` are their indices in the group as it stands.

        Where the GRM compares pairs, a single one gets a partner of the group, whose votes are not looked at if it has
        its own. In mode pairwise the members are all of the group that the GRM is asked about.
        """
        self._puts.append(asyncio.create_task(self._votes(group, members, len(self._puts))))

    async def conclude(self, group: Group, copies: Mapping[int, int] = NO_COPIES) -> Judgement:
        """The rewards of the whole group, once all its lists have their votes.

        Every response that was not put is blank, repeats an earlier one, or has no vote.

        Args:
            group: all of it.
            copies: index of each response that repeats an earlier one (`Judge.as_shown`) -> that one's index.
        """
        try:
            await asyncio.gather(*self._puts)
        finally:
            self.cancel()  # if one has failed the others are for nobody
        return self.conclude_now(group, copies)

    def conclude_now(self, group: Group, copies: Mapping[int, int] = NO_COPIES) -> Judgement:
        """As `conclude`, from the lists that have their votes now; the others are given up."""
        self.cancel()
        in_order = (task for _, task in sorted(self._lists, key=lambda numbered: numbered[0]))
        lists = [judged for task in in_order if _succeeded(task) for judged in task.result()]
        judge = self._judge
        group = self._as_applied(group)
        if self.learn:  # evaluation asks the policy otherwise
            judge.reliability.learn(lists, group.criteria)
        rewards = rewards_of(
            *(group, judge.config.judge, lists, judge.blank(group), copies, judge.normalizer, self.learn),
            *(judge.reliability, judge.length, self._ruling, judge.modes.combine_of(group)),
        )
        failed = sorted({row.name for reward in rewards for row in reward.criteria if row.problem})
        if failed:  # why may quote the response, which does not belong into logs
            judge.rule_failed.warning(
                "the rule %s has no number for a response, which is scored without it: /v1/score and the page of "
                "traces say why",
                " and ".join(map(repr, failed)),
            )
        judgement = Judgement(group, rewards, tuple(lists), time.monotonic() - self._began)
        if judge.on_judgement:
            judge.on_judgement(judgement)
        return judgement

    def cancel(self) -> None:
        """Give up what the GRM still works on."""
        let_go(*self._puts, *(task for _, task in self._lists))

    def _as_applied(self, group: Group) -> Group:
        """The group with its criteria, and with the principles that held when its first list was put: all of its lists
        are judged by the same ones, whatever happens to the file meanwhile."""
        if self._applied is None:
            self._applied = self._judge.applying.applied(group)
        return replace(group, criteria=self._applied.criteria, principles=self._applied.principles)

    async def _votes(self, group: Group, members: tuple[int, ...], number: int) -> None:
        """Have responses voted on, less those that a gate of the user's stops; beside that the other rules.

        Each list has a task of its own: if this ends before others, its votes are there.
        """
        group = self._as_applied(group)
        members = await self._ruling.let_through(group, members)
        asked = bool(members) and asks_grm(group, self._judge.config.judge)
        rest = asyncio.create_task(self._ruling.ask_rest(group, members))
        modes = self._judge.modes
        try:
            for part in modes.parts_of(group, members) if asked else ():
                votes = asyncio.create_task(self._votes_of_grm(group, part))
                self._lists.append((number, votes))
                if modes.breaks_ties:
                    self._lists.append((number, asyncio.create_task(self._tiebreaks(group, votes))))
            await asyncio.gather(rest, *(task for put, task in self._lists if put == number))
        finally:
            let_go(rest)

    async def _votes_of_grm(self, group: Group, members: tuple[int, ...]) -> list[ListJudgement]:
        """The votes on a list; then, where the GRM answered and not one answer could be read, each response once more,
        alone.

        Otherwise a response that confuses the GRM, as a flood of repeats may, would take its siblings' rewards with it.
        Alone, each gets its share of k votes, rounded up: all of them together cost about as much as the list again,
        and a GRM that cannot be read at all costs twice what it should and not n + 1 times.
        """
        lists = self._judge.lists
        pairs = self._judge.config.judge.compares
        if pairs and len(members) == 1:
            partner = self._partner(group, *members)
            if partner is None:
                self._judge.no_pair.warning(
                    "a group with one response to be judged has no votes: the GRM compares pairs, so give it two or "
                    "more (group.n, ?n=)"
                )
                return [self._judge.modes.marked(_no_pair(members))]
            members = (*members, partner)
        wanted = Wanted(texts=self._texts)
        together = self._judge.modes.marked(await lists.judge(group, members, self.deadline, wanted))
        silent = all(vote.reason.engine_failed for vote in together.unparsed)
        if together.critiques or silent or pairs or len(members) == 1:
            return [together]
        logger.warning("no critique of a list of %d responses could be read: each is judged alone", len(members))
        # By another replica than the one that may be to blame.
        k = math.ceil(self._judge.config.sampling.k / len(members))
        wanted = replace(wanted, k=k, not_by=together.judged_by)
        alone = (lists.judge(group, (member,), self.deadline, wanted) for member in members)
        return [together, *await all_of(alone)]

    async def _tiebreaks(self, group: Group, votes: asyncio.Task[list[ListJudgement]]) -> list[ListJudgement]:
        """The votes on those pairs of a list that its own votes do not separate."""
        modes, [first, *_] = self._judge.modes, await votes
        pairs = [] if self.deadline.over else modes.tied(group, first)
        wanted = Wanted(k=self._judge.config.judge.tiebreak.k, texts=self._texts)
        judged = await all_of(self._judge.lists.judge(group, pair, self.deadline, wanted) for pair in pairs)
        return [replace(pair, purpose="tiebreak") for pair in judged]

    def _partner(self, group: Group, member: int) -> int | None:
        """Whom a response left over is compared with: the nearest one of its group, if possible one with another text
        that no gate has stopped."""
        others = [index for index in self._judge.for_the_grm(group) if index != member]
        texts = group.responses
        stopped = self._ruling.stopped
        return min(
            others,
            key=lambda other: (texts[other] == texts[member], stopped(other), abs(other - member)),
            default=None,
        )


def _succeeded(task: asyncio.Task[list[ListJudgement]]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _no_pair(members: tuple[int, ...]) -> ListJudgement:
    detail = (
        "the GRM compares pairs (judge.mode, judge.preset, judge.answer), and the group has one response to be judged"
    )
    return ListJudgement(members, (None,), (), (Unparsed(UnparsedReason.NO_PAIR, detail=detail),), (0,))
