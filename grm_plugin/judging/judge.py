"""The judge: group -> lists -> prompts -> k completions -> critiques -> meta filter -> vote -> reward.

The only file that names the order of the stages. It knows neither a framework, nor HTTP, nor Ray, nor vLLM.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import deadline_within
from grm_plugin._util.redaction import describe
from grm_plugin.config import Config, JudgeConfig
from grm_plugin.errors import GroupError, PromptTooLong
from grm_plugin.judging.grouping import split_evenly
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.orders import balanced_orders, plan_rounds
from grm_plugin.judging.parsing import parse
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.judging.rewards import conclude, is_blank
from grm_plugin.judging.sampling import Sampled, sample_all
from grm_plugin.judging.sanitizing import neutralize_special_tokens, sanitize
from grm_plugin.judging.seams import Generator, MetaRM, check_logits
from grm_plugin.judging.stopping import RankingSettled
from grm_plugin.judging.voting import keep_best, tally, with_ratings
from grm_plugin.types import Critique, Group, Judgement, ListJudgement, Sampling, Unparsed, UnparsedReason

logger = logging.getLogger(__name__)

Sanitize = Callable[[Group, tuple[int, ...], JudgeConfig, int], tuple[Group, tuple[int, ...]]]
"""What of a group's members the GRM sees, each of at most so many characters, and how many were left out of each."""

SHORTEST_SHOWN = 100
"""Characters of a response that are always shown; if that does not fit, the conversation itself is too long."""

META_RM_SHARE = 0.15
"""Part of a list's time kept for the meta RM, which reads each critique once."""


class Judge:
    """Scores groups with a GRM.

    Args:
        config: sampling, judging, filtering and normalising; the engine sections are not looked at.
        generator: runs the GRM.
        meta_rm: rates critiques; None votes over all of them.
        on_judgement: called with every finished judgement (counters, traces); must not block.
        sanitize: makes texts fit to be seen; grm_plugin.attacks measures what the defences in it are worth.
        timed: makes a context in which a list goes through the stage "grm" or "meta_rm".
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        meta_rm: MetaRM | None = None,
        on_judgement: Callable[[Judgement], None] | None = None,
        sanitize: Sanitize = sanitize,
        timed: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
    ) -> None:
        self.config = config
        self.generator = generator
        self.meta_rm = meta_rm
        self.prompts = PromptBuilder(config.judge.template, config.meta_rm.template if config.meta_rm else None)
        self.normalizer = Normalizer(config.normalize)
        adaptive = config.sampling.adaptive
        self.stopping = RankingSettled(adaptive.z) if adaptive else None
        self.on_judgement = on_judgement
        self._sanitize = sanitize
        self._timed = timed

    async def score(self, groups: Sequence[Group], timeout_s: float | None = None) -> list[Judgement]:
        """Judge groups concurrently; one `Judgement` per group, its rewards in the order of its responses.

        Votes that are not in after `timeout_s` seconds are lost votes; a response without any has the value None.
        What one group raises ends the others.

        Raises:
            GroupError: a group without a conversation or without responses.
            PromptError: the template cannot be rendered.
        """
        if not all(group.conversation and group.responses for group in groups):
            raise GroupError("a group needs a conversation of at least one turn and at least one response")
        return await all_of(self._score_group(group, timeout_s) for group in groups)

    async def _score_group(self, group: Group, timeout_s: float | None) -> Judgement:
        started = time.monotonic()
        judged = [index for index, response in enumerate(group.responses) if not is_blank(response, self.config)]
        parts = await all_of(
            self.judge_members(group, members, timeout_s)
            for members in split_evenly(judged, self.config.judge.list_size)
        )
        return self.conclude(group, [one for part in parts for one in part], time.monotonic() - started)

    def conclude(self, group: Group, lists: Sequence[ListJudgement], latency_s: float = 0.0) -> Judgement:
        """Rewards of a group from the votes on its lists (normalised over the group)."""
        judgement = conclude(group, lists, self.config, self.normalizer, latency_s)
        if self.on_judgement:
            self.on_judgement(judgement)
        return judgement

    async def judge_members(
        self, group: Group, members: tuple[int, ...], timeout_s: float | None
    ) -> Sequence[ListJudgement]:
        """`judge_list`; then, where the GRM answered and not one answer could be read, each response once more alone.

        Otherwise a response that confuses the GRM, as a flood of repeats may, would take its siblings' rewards with it.
        """
        deadline = _deadline(timeout_s)
        together = await self.judge_list(group, members, timeout_s)
        silent = all(vote.reason.engine_failed for vote in together.unparsed)
        if together.critiques or silent or len(members) == 1:
            return [together]
        logger.warning("no critique of a list of %d responses could be read: each is judged alone", len(members))
        left_s = _remaining(deadline)
        return [together, *await all_of(self.judge_list(group, (member,), left_s) for member in members)]

    async def judge_list(self, group: Group, members: tuple[int, ...], timeout_s: float | None = None) -> ListJudgement:
        """Votes on the group's responses `members`, put before the GRM together.

        Where they do not fit into the GRM's context the longest ones are cut further, until they do.
        """
        deadline = _deadline(timeout_s)
        # A GRM request that hangs must not take the meta RM's time too.
        sampled_by = deadline if self.meta_rm is None else deadline - META_RM_SHARE * (timeout_s or 0.0)
        limit = self.config.judge.max_response_chars
        while True:
            shown, cut = self._sanitize(group, members, self.config.judge, limit)
            seed = self.config.sampling.seed
            rng = random.SystemRandom() if seed is None else random.Random(f"{seed} {shown}")
            marker = draw_marker(rng, shown)
            with self._timed("grm"):
                critiques, unparsed = await self._critique(shown, marker, rng, sampled_by)
            too_long = bool(unparsed) and all(vote.reason is UnparsedReason.TOO_LONG for vote in unparsed)
            if critiques or not too_long or limit <= SHORTEST_SHOWN:
                break
            limit = max(SHORTEST_SHOWN, min(limit, max(map(len, shown.responses))) // 2)

        drawn = len(critiques) + len(unparsed)
        critiques, meta_error, meta_too_long = await self._rate(shown, marker, critiques, deadline)
        critiques = keep_best(critiques, self.config.kept_of(drawn))
        votes = tally(critiques, len(members))
        return ListJudgement(members, tuple(votes), tuple(critiques), tuple(unparsed), cut, meta_error, meta_too_long)

    async def _critique(
        self, shown: Group, marker: str, rng: random.Random, deadline: float
    ) -> tuple[list[Critique], list[Unparsed]]:
        """Sample k completions over balanced orders, in rounds if a stopping rule is set, and read them."""
        n, options = len(shown.responses), self.config.sampling
        orders = balanced_orders(n, min(options.orders or n, options.k), rng)
        batch = options.adaptive.batch if options.adaptive else options.k
        batch = -(-batch // len(orders)) * len(orders)  # whole sets of orders, or stopping would leave a position bias
        critiques: list[Critique] = []
        unparsed: list[Unparsed] = []
        for draws in plan_rounds(orders, options.k, batch):
            requests = [
                (
                    self.prompts.listwise(shown, draw.order, marker),
                    Sampling(
                        n=draw.n,
                        temperature=options.temperature,
                        top_p=options.top_p,
                        max_tokens=options.max_tokens,
                        seed=None if options.seed is None else rng.getrandbits(31),
                    ),
                )
                for draw in draws
            ]
            for draw, outcomes in zip(
                draws, await sample_all(self.generator, requests, _remaining(deadline)), strict=True
            ):
                for outcome in outcomes:
                    vote = self._read(outcome, draw.order, sample=len(critiques) + len(unparsed))
                    if isinstance(vote, Critique):
                        critiques.append(vote)
                    else:
                        unparsed.append(vote)
            if self.stopping and self.stopping.settled(tally(critiques, n)):
                break
        return critiques, unparsed

    def _read(self, outcome: Sampled, order: tuple[int, ...], sample: int) -> Critique | Unparsed:
        """One vote, its scores mapped back from the positions shown to the request's order."""
        if isinstance(outcome, Unparsed):
            return replace(outcome, order=order)
        parsed = parse(outcome, len(order), self.config.judge.decimals)
        if isinstance(parsed, Unparsed):
            return replace(parsed, order=order)
        by_response = dict(zip(order, parsed.values, strict=True))
        return Critique(
            scores=tuple(by_response[index] for index in range(len(order))),
            text=outcome.text,
            principles=parsed.principles,
            analysis=parsed.analysis,
            order=order,
            sample=sample,
            tokens=outcome.tokens,
        )

    async def _rate(
        self, shown: Group, marker: str, critiques: list[Critique], deadline: float
    ) -> tuple[list[Critique], str, bool]:
        """Let the meta RM rate the critiques. If it fails they stay unrated (and so all keep their vote).

        Also returns why it failed, and whether because they are too long for it.
        """
        if self.meta_rm is None or not critiques:
            return critiques, "", False
        # A critique may quote a control token that it has put together again.
        texts = [neutralize_special_tokens(item.text, self.config.judge.control_tokens) for item in critiques]
        conversations = [
            self.prompts.meta(shown, item.order, marker, text) for item, text in zip(critiques, texts, strict=True)
        ]
        try:
            with deadline_within(_remaining(deadline)), self._timed("meta_rm"):
                async with asyncio.timeout(_remaining(deadline)):
                    ratings = await self.meta_rm.rate(conversations)
            check_logits(ratings, len(critiques))
            return with_ratings(critiques, ratings), "", False
        except Exception as error:  # the seam: whatever a meta RM raises costs the filter, never the votes
            reason = describe(error, [turn for conversation in conversations for turn in conversation])
            logger.warning("the meta RM failed, all %d critiques keep their vote: %s", len(critiques), reason)
            return critiques, reason[:200], isinstance(error, PromptTooLong)


def _deadline(timeout_s: float | None) -> float:
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def _remaining(deadline: float) -> float | None:
    return None if deadline == math.inf else max(0.0, deadline - time.monotonic())
