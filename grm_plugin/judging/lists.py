"""One list: orders -> prompts -> k completions -> critiques -> meta filter -> votes.

Names the order of these stages, as `judge.py` names that of a group. Serving, evals, spct and attacks call this.
"""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from grm_plugin._util.concurrency import unless_cancelled_within
from grm_plugin._util.deadline import NEVER, Deadline, working_until
from grm_plugin.config import Config, JudgeConfig
from grm_plugin.errors import ConfigError, PromptError, PromptTooLong
from grm_plugin.judging.forced_weight import ForcedWeight
from grm_plugin.judging.forcing import Forced, force_answers
from grm_plugin.judging.orders import Draw, plan_draws
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.judging.read_vote import read_vote
from grm_plugin.judging.sampling import Sampled, sample_all, sampling_of, spare_of
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.judging.seams import ALL_VOTES, Continues, Generator, MetaRM, Wanted, check_logits
from grm_plugin.judging.stopping import rule_of
from grm_plugin.judging.voting import keep_best, tally, with_ratings
from grm_plugin.types import (
    DETAIL_CHARS,
    Critique,
    Group,
    ListJudgement,
    Prompt,
    Sampling,
    Stopped,
    Unparsed,
    UnparsedReason,
)

logger = logging.getLogger(__name__)

Sanitize = Callable[[Group, tuple[int, ...], JudgeConfig, int | None], tuple[Group, tuple[int, ...]]]
"""What of a group's members the GRM sees, each of at most so many characters, and how many were left out of each."""

SHORTEST_SHOWN = 100
"""Characters of a response that are always shown; if that does not fit, the conversation itself is too long."""

META_RM_SHARE = 0.15
"""Part of a list's time kept for the meta RM, which reads each critique once."""


@dataclass(frozen=True, slots=True)
class ShownList:
    """A list as the GRM is shown it: texts made safe, responses cut to length and fenced by `marker`.

    `cut[i]` characters were left out of response i.
    """

    group: Group
    marker: str
    cut: tuple[int, ...] = ()


@dataclass(slots=True)
class _Drawn:
    """The votes on a list so far, and what came of rating them.

    Forced votes that do not count (`ForcedWeight.count`) are lost ones, and kept beside to be measured.
    """

    forced_count: bool = True
    critiques: list[Critique] = field(default_factory=list)
    unparsed: list[Unparsed] = field(default_factory=list)
    uncounted: list[Critique] = field(default_factory=list)
    rounds: int = 0
    stopped: Stopped = Stopped.ALL
    meta_error: str = ""
    meta_too_long: bool = False
    meta_rm_s: float = 0.0

    def add(self, vote: Critique | Unparsed) -> None:
        if isinstance(vote, Critique) and (self.forced_count or not vote.forced):
            self.critiques.append(vote)
        elif isinstance(vote, Critique):
            self.uncounted.append(vote)
            detail = "its forced answer does not count: such votes agree too badly with the others"
            self.unparsed.append(Unparsed(UnparsedReason.TRUNCATED, vote.whole, detail, vote.tokens, vote.order))
        else:
            self.unparsed.append(vote)


def next_shorter(limit: int, shown: Group) -> int:
    """The length to which responses are cut next where those of `shown`, cut to `limit`, make too long a prompt."""
    return max(SHORTEST_SHOWN, min(limit, max(map(len, shown.responses))) // 2)


class ListJudge:
    """Judges lists with a GRM.

    Args:
        config: sampling, judging and filtering; the engine sections are not looked at.
        generator: runs the GRM.
        meta_rm: rates critiques; None votes over all of them.
        sanitize: makes texts fit to be seen; `grm_plugin.attacks` measures what the defences in it are worth.
        prompts: renders the prompts; None reads the templates that `config` names.

    Raises:
        PromptError: a template is missing or is no template.
        ConfigError: answers are to be forced (`sampling.force_answer`), which the generator cannot do.
    """

    def __init__(
        self,
        config: Config,
        generator: Generator,
        meta_rm: MetaRM | None = None,
        sanitize: Sanitize = sanitize,
        prompts: PromptBuilder | None = None,
    ) -> None:
        self.config = config
        self.generator = generator
        self.meta_rm = meta_rm
        self.prompts = prompts or PromptBuilder.of(config)
        adaptive = config.sampling.adaptive
        self.stopping = rule_of(adaptive) if adaptive else None
        self.sanitize = sanitize
        self.forced = ForcedWeight()
        if config.sampling.force_answer and not isinstance(generator, Continues):
            raise ConfigError(
                f"sampling.force_answer: {type(generator).__name__} cannot continue a text (judging.seams.Continues); "
                "leave it out and raise sampling.max_tokens"
            )

    async def judge(
        self, group: Group, members: tuple[int, ...], deadline: Deadline = NEVER, wanted: Wanted = ALL_VOTES
    ) -> ListJudgement:
        """Votes on the group's responses `members`, put before the GRM together.

        Votes that are not in by `deadline` are lost. Where the responses do not fit into the GRM's context the longest
        ones are cut further, until they do; not in a part of a list, whose other parts would show other texts.

        Args:
            group: what is judged.
            members: which of its responses.
            deadline: for all votes together.
            wanted: which votes, and how much of them.

        Raises:
            GroupError: one of the texts is no text.
            PromptError: the template cannot be rendered.
        """
        # A GRM request that hangs must not take the meta RM's time too.
        sampled_by = deadline if self.meta_rm is None else deadline.earlier(META_RM_SHARE)
        limit = self.config.judge.max_response_chars
        began = time.monotonic()
        while True:
            shown, rng = self._show(group, members, limit, wanted.seed)
            drawn = await self._critique(shown, rng, sampled_by, deadline, wanted)
            too_long = bool(drawn.unparsed) and all(vote.reason is UnparsedReason.TOO_LONG for vote in drawn.unparsed)
            if drawn.critiques or not too_long or limit <= SHORTEST_SHOWN or wanted.parts > 1:
                break
            limit = next_shorter(limit, shown.group)
        self.forced.learn([*drawn.critiques, *drawn.uncounted])
        await self._rate_new(drawn, shown, deadline)
        critiques, unparsed = drawn.critiques, drawn.unparsed
        kept = keep_best(critiques, self.config.kept_of(len(critiques) + len(unparsed)))
        votes = tally(kept, len(members))
        if not wanted.texts:
            kept = [replace(critique, text="", forced_line="", principles="", analysis="") for critique in kept]
            unparsed = [replace(lost, text="") for lost in unparsed]
        return ListJudgement(
            *(members, tuple(votes), tuple(kept), tuple(unparsed), shown.cut, drawn.meta_error, drawn.meta_too_long),
            grm_s=time.monotonic() - began - drawn.meta_rm_s,
            meta_rm_s=drawn.meta_rm_s,
            rounds=drawn.rounds,
            stopped=drawn.stopped,
        )

    async def rate(self, shown: ShownList, critiques: Sequence[Critique], deadline: Deadline = NEVER) -> list[Critique]:
        """Critiques, fresh or stored ones, with the meta RM's logits; as they are where there is no meta RM.

        Args:
            shown: what the GRM was shown when it wrote them.
            critiques: their `order` and `whole` text are read.
            deadline: for all of them together.

        Raises:
            TimeoutError: they are not rated by the deadline.
            EngineError: the meta RM failed, or answered with something else than finite logits.
        """
        if self.meta_rm is None or not critiques:
            return list(critiques)
        conversations = [self.prompts.meta(shown.group, item.order, shown.marker, item.whole) for item in critiques]
        with working_until(deadline):
            async with deadline.timeout():
                ratings = await unless_cancelled_within(self.meta_rm.rate(conversations), "the meta RM")
        check_logits(ratings, len(critiques))
        return with_ratings(critiques, ratings)

    def _show(
        self, group: Group, members: tuple[int, ...], limit: int, seed: int | None
    ) -> tuple[ShownList, random.Random]:
        """The list, and what draws its marker and its orders: with a seed the same ones for the same list."""
        seed = seed if self.config.sampling.seed is None else self.config.sampling.seed
        shown, cut = self.sanitize(group, members, self.config.judge, limit)
        rng = random.SystemRandom() if seed is None else random.Random(f"{seed} {shown}")
        return ShownList(shown, draw_marker(rng, shown), cut), rng

    async def _critique(
        self, shown: ShownList, rng: random.Random, deadline: Deadline, rated_by: Deadline, wanted: Wanted
    ) -> _Drawn:
        """Sample k completions less the `drawn` ones over balanced orders, in rounds if there is a stopping rule."""
        n = len(shown.group.responses)
        found = _Drawn(self.forced.count())
        rounds = plan_draws(n, self.config.sampling, rng, wanted.k, wanted.drawn)
        if wanted.drawn:  # the same seeds would sample the votes again that there are
            rng = random.Random(f"{wanted.drawn} {rng.getrandbits(31)}")
        planned = 0
        for number, draws in enumerate(rounds, 1):
            firsts = itertools.accumulate((draw.n for draw in draws), initial=planned)
            planned += sum(draw.n for draw in draws)
            # Seeds are drawn for the whole list, and then its part is taken: they do not depend on how it is split.
            asked = [
                (draw, self._sampling(draw, shown.group, rng), first)
                for draw, first in zip(draws, firsts, strict=False)
            ]
            asked = asked[wanted.part :: wanted.parts]
            requests = [
                (self.prompts.listwise(shown.group, draw.order, shown.marker), sampling) for draw, sampling, _ in asked
            ]
            answers = await self._outcomes(requests, deadline, len(shown.group.criteria))
            found.rounds = number
            for (draw, _, first), outcomes in zip(asked, answers, strict=True):
                for sample, outcome in enumerate(outcomes, first):
                    found.add(read_vote(outcome, draw.order, sample, self.config, shown.group.criteria))
            drawn = wanted.drawn + planned
            if number < len(rounds) and (why := await self._enough(found, shown, rated_by, drawn, wanted)):
                found.stopped = why
                break
        return found

    async def _outcomes(
        self, requests: Sequence[tuple[Prompt, Sampling]], deadline: Deadline, criteria: int
    ) -> Sequence[Sequence[Sampled | Forced]]:
        """What the GRM answers; with `sampling.force_answer` also where it was cut."""
        answers = await sample_all(self.generator, requests, deadline)
        if not self.config.sampling.force_answer or not isinstance(self.generator, Continues):
            return answers
        return await force_answers(self.generator, self.config.judge, requests, answers, deadline, criteria)

    async def _enough(
        self, drawn: _Drawn, shown: ShownList, deadline: Deadline, planned: int, wanted: Wanted
    ) -> Stopped | None:
        """Why the stopping rule would end here, by what the vote would see now; None where it would not."""
        if self.stopping is None or not drawn.critiques:
            return None
        await self._rate_new(drawn, shown, deadline)
        kept = keep_best(drawn.critiques, self.config.kept_of(planned))
        share = planned / (wanted.k or self.config.sampling.k)
        return self.stopping.look([critique.scores for critique in kept if critique.kept], share)

    async def _rate_new(self, drawn: _Drawn, shown: ShownList, deadline: Deadline) -> None:
        """Have the meta RM rate the critiques that it has not rated. Where it fails once, all of them vote."""
        new = [critique for critique in drawn.critiques if critique.meta is None]
        if self.meta_rm is None or drawn.meta_error or not new:
            return
        began = time.monotonic()
        try:
            rated = {critique.sample: critique for critique in await self.rate(shown, new, deadline)}
            drawn.critiques = [rated.get(critique.sample, critique) for critique in drawn.critiques]
        except PromptError:  # a template that cannot be rendered is the user's to mend
            raise
        except Exception as error:  # the seam: whatever a meta RM raises costs the filter, never the votes
            # The type only: the message may quote prompts, which do not belong into logs. The judgement has it.
            logger.warning("the meta RM failed (%s), all %d critiques vote", type(error).__name__, len(drawn.critiques))
            drawn.meta_error = f"{type(error).__name__}: {error}"[:DETAIL_CHARS]
            drawn.meta_too_long = isinstance(error, PromptTooLong)
        drawn.meta_rm_s += time.monotonic() - began

    def _sampling(self, draw: Draw, shown: Group, rng: random.Random) -> Sampling:
        options = self.config.sampling
        seed = None if options.seed is None else rng.getrandbits(31)
        return sampling_of(options, draw.n, seed, spare_of(self.config, shown))
