"""Lists judged by the replicas of the GRM: one call per list, or per part of one where replicas would be idle."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.deadline import NEVER, Deadline, working_until
from grm_plugin.config import Config
from grm_plugin.errors import EngineError, EngineTimeout
from grm_plugin.judging.seams import ALL_VOTES, Wanted, check_list
from grm_plugin.judging.voting import join_parts
from grm_plugin.serving.ray.replica_pool import ReplicaPool
from grm_plugin.types import DETAIL_CHARS, Completion, Group, ListJudgement, Sampling, Unparsed, UnparsedReason

WAY_BACK = 0.02
"""Share of a list's time that its replica does not get: votes that it has by then must still arrive here."""

SEED_BITS = 64


class RemoteLists:
    """A `RemoteVoter`: has every list judged by one of a pool of `EngineReplica`.

    A replica that dies, freezes, is silent, answers with garbage or loses votes because its engine fails costs no vote:
    another one judges the list, and the tries share its deadline.

    All orders of a list go to one replica, which reads their common beginning once. They are spread over several only
    where there are more replicas than lists under way, so that the votes on few lists come no later than they could.
    Not with `sampling.adaptive`, where the votes on all orders decide together whether there are more.

    Args:
        config: how many votes and orders there are.
        pool: the replicas.
    """

    def __init__(self, config: Config, pool: ReplicaPool) -> None:
        self._config = config
        self._pool = pool
        self._under_way = 0

    async def judge(
        self, group: Group, members: tuple[int, ...], deadline: Deadline = NEVER, wanted: Wanted = ALL_VOTES
    ) -> ListJudgement:
        """See `ListVoter.judge`."""
        group = replace(group, responses=tuple(group.responses[member] for member in members))
        self._under_way += 1
        try:
            await asyncio.sleep(0)  # other lists of the same moment are told of before it is asked how many there are
            # The same for all parts and tries, so that what is asked does not depend on them.
            seed = random.SystemRandom().getrandbits(SEED_BITS)
            judged = await self._judge_in_parts(group, deadline, replace(wanted, seed=seed))
        finally:
            self._under_way -= 1
        return replace(judged, members=members)

    async def probe(self, sampling: Sampling) -> list[Completion]:
        """See `RemoteVoter.probe`."""
        answer: list[Completion] = await self._pool.call("probe", lambda: (sampling,), _accept, timed=False)
        return answer

    async def _judge_in_parts(self, group: Group, deadline: Deadline, wanted: Wanted) -> ListJudgement:
        parts = self._parts(len(group.responses), wanted.k)
        if parts > 1:
            each = (self._judge_part(group, deadline, replace(wanted, part=i, parts=parts)) for i in range(parts))
            judged = await all_of(each)
            unparsed = [lost for part in judged for lost in part.unparsed]
            votes = any(part.critiques for part in judged)
            if votes or any(lost.reason is not UnparsedReason.TOO_LONG for lost in unparsed):
                asked = sum(part.asked for part in judged)
                return join_parts(judged, self._config.kept_of(asked))
        return await self._judge_part(group, deadline, wanted)

    def _parts(self, n: int, k: int | None) -> int:
        """Over how many replicas the orders of a list of n responses are spread."""
        if self._config.sampling.adaptive:
            return 1
        # Other processes of the service have about as many lists under way.
        idle = self._pool.watch.alive // (self._under_way * self._config.service.replicas)
        return max(1, min(idle, self._config.sampling.orders_of(n, k)))

    async def _judge_part(self, group: Group, deadline: Deadline, wanted: Wanted) -> ListJudgement:
        members = tuple(range(len(group.responses)))
        requests = -(-self._config.sampling.orders_of(len(members), wanted.k) // wanted.parts)
        with_losses: list[ListJudgement] = []

        def check(answer: Any) -> None:
            check_list(answer, members)
            reasons = [lost.reason for lost in answer.unparsed]
            if UnparsedReason.ENGINE in reasons:
                with_losses.append(answer)
                raise EngineError("the engine of a replica failed on a list")
            if reasons and not answer.critiques and set(reasons) == {UnparsedReason.TIMEOUT}:
                with_losses.append(answer)
                raise EngineTimeout("the engine of a replica gave no vote on a list in time")

        reason, detail = UnparsedReason.TIMEOUT, ""
        try:
            with working_until(deadline):
                async with deadline.timeout():
                    answer: ListJudgement = await self._pool.call(
                        "judge",
                        lambda: (group, wanted, deadline.earlier(WAY_BACK).left_s),
                        check,
                        not_by=wanted.not_by,
                        weight=requests,
                    )
                    return answer
        except TimeoutError:
            pass
        except EngineError as error:
            reason, detail = UnparsedReason.ENGINE, f"{type(error).__name__}: {error}"[:DETAIL_CHARS]
        if with_losses:
            return max(with_losses, key=lambda answer: len(answer.critiques))
        lost = Unparsed(reason, detail=detail)
        asked = range(wanted.part, wanted.k or self._config.sampling.k, wanted.parts)
        return ListJudgement(members, (None,) * len(members), (), (lost,) * len(asked), (0,) * len(members))


def _accept(_: object) -> None:
    """Whatever the probe is answered with is looked at elsewhere."""
