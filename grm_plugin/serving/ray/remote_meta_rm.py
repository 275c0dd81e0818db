"""The meta RM as other processes ask it: a pool of replicas."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from grm_plugin.judging.seams import check_logits
from grm_plugin.serving.probing import PROBE_CRITIQUE
from grm_plugin.serving.ray.replica_pool import ReplicaPool
from grm_plugin.types import Conversation


class RemoteMetaRM:
    """A `MetaRM` whose calls are answered by a pool of `MetaRMReplica`."""

    def __init__(self, pool: ReplicaPool) -> None:
        self.pool = pool

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        answer: list[float] = await self.pool.call(
            "rate",
            lambda: (conversations,),
            partial(check_logits, n=len(conversations)),
            timed=list(conversations) != [PROBE_CRITIQUE],
        )
        return answer
