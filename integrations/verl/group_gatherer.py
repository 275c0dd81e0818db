"""Gathers the samples of a prompt: verl sends each to a reward worker drawn at random, so they meet in one Ray actor.

`GRMGroupGatherer` is plain asyncio; `gatherer_actor` puts it on the job's Ray cluster.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Any

from grm_plugin.client.contiguous_groups import group_of
from grm_plugin.client.settled_rewards import judge_settled
from grm_plugin.client.sibling_group import SiblingGroup
from grm_plugin.integrations.verl.samples import Member
from grm_plugin.integrations.verl.settings import GRMSettings
from grm_plugin.judging.fallback import SettledReward

logger = logging.getLogger(__name__)

KEEP_S = 600.0
"""How long the groups of a prompt are remembered after the last one was closed, for calls that are repeated or late."""

MAX_WAITING = 1_000_000
"""Calls that may wait in the actor. Ray's default of 1000 would keep siblings out of a group that waits for them."""


class GRMGroupGatherer:
    """The groups of a job. Every member gets its reward as soon as its group is judged.

    A group is judged when its n members are there, or `settings.wait_s` after the first. Where verl numbers its samples
    (V1), a repeated call gets the reward that is there already; before V1 it counts as another sample. Members that
    come after their group was judged form a group of their own.
    """

    def __init__(self, settings: GRMSettings) -> None:
        self._settings = settings
        self._client = settings.client()
        self._groups: dict[str, list[SiblingGroup[Member]]] = {}

    async def reward(self, member: Member) -> SettledReward:
        """The reward of one member.

        Raises:
            RewardError: the service failed and `failure.policy` is `raise`.
            GroupError: the group does not fit the service's schema.
        """
        group, index = self._join(member)
        return await group.reward_of(index)

    def _join(self, member: Member) -> tuple[SiblingGroup[Member], int]:
        groups = self._groups.setdefault(member.uid, [])
        for group in groups:
            sessions = [other.session for other in group.members]
            if member.session is not None and member.session in sessions:
                return group, sessions.index(member.session)
        if not groups or groups[-1].closed:
            groups.append(self._open(member.uid))
        group = groups[-1]
        judged = sum(len(other.members) for other in groups[:-1])  # they will not come again
        group.expected = max(1, group.expected, member.n - judged)
        return group, group.add(member)

    def _open(self, uid: str) -> SiblingGroup[Member]:
        loop = asyncio.get_running_loop()
        group: SiblingGroup[Member] = SiblingGroup(
            lambda: self._judge(group), lambda: loop.call_later(KEEP_S, self._forget, uid, group)
        )
        loop.call_later(self._settings.wait_s, group.close)
        return group

    async def _judge(self, group: SiblingGroup[Member]) -> list[SettledReward]:
        first = group.members[0]
        if len(group.members) < group.expected:
            logger.warning(
                "%d of %d samples of prompt %s came within %g s and are judged without the others; if generation takes "
                "longer raise grm.wait_s, if the prompt has fewer say so in its extra_info (split, or rollout_n), if "
                "more samples are validated at once than reward.num_workers x 1000 raise that",
                *(len(group.members), group.expected, first.uid, self._settings.wait_s),
            )
        rows = [member.row for member in group.members]
        n = max(first.n, len(rows))  # late or lost siblings make what is left no mistake
        return await judge_settled(self._client, group_of(rows), self._settings.failure, first.learn, n)

    def _forget(self, uid: str, group: SiblingGroup[Member]) -> None:
        """Forget the groups of a prompt if this one was the last: a later one may still be open."""
        if self._groups[uid][-1] is group:
            del self._groups[uid]


def gatherer_actor(settings: GRMSettings) -> Any:
    """The handle of the job's `GRMGroupGatherer`, made by whoever asks first. Needs a connection to the Ray cluster.

    Ray starts an actor that died again, and repeats the calls that waited in it: the samples meet once more.
    """
    import ray

    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]
    # "DEFAULT" keeps the actor out of the placement group of the worker that asks.
    options = {"num_cpus": 0, "scheduling_strategy": "DEFAULT", "max_restarts": -1, "max_task_retries": -1}
    return (
        ray.remote(GRMGroupGatherer)
        .options(name=f"grm-groups-{digest}", get_if_exists=True, max_concurrency=MAX_WAITING, **options)
        .remote(settings)
    )
