"""OpenRLHF reward function (`--reward.remote_url .../reward_func.py`).

OpenRLHF hands over the n samples of a prompt one by one. Each goes to the service, which gathers them by prompt and
judges them together. n is GRM_N, in training and in evaluation: where the two differ, evaluation waits `group.wait_s`
for siblings that do not exist. Nothing tells evaluation from training here, so `normalize.method` running learns from
both. The `agent` hook knows n, tells evaluation and needs no threads; prefer it where you can.

Configuration: see `grm_plugin.integrations.environment_variables`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import resource
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from grm_plugin._util.background import run_in_background
from grm_plugin._util.text import encodable
from grm_plugin.client.settled_rewards import reward_settled
from grm_plugin.conversation.labels import read_label
from grm_plugin.conversation.response import response_of
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.environment_variables import Connection, connect, read_environment
from grm_plugin.integrations.openrlhf.one_sample import one_sample
from grm_plugin.judging.fallback import SettledReward
from grm_plugin.wire.ready import require_siblings
from grm_plugin.wire.schemas import WireGroup

logger = logging.getLogger(__name__)

MOST_CALLS = 1024
"""Calls that may wait at once, each with a thread (some 30 kB) and a connection to the service.

A call waits until its siblings have come, too. Where more samples of a rollout actor wait than this, some groups lack
siblings that get no thread, and are judged without them after `group.wait_s`: the agent hook has no such bound.
"""


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[object]) -> dict[str, Any]:
    """The reward of a sample; called from many threads at once, it blocks until the sample's group is judged.

    Args:
        queries: one prompt + response, decoded with special tokens.
        prompts: one, as the policy saw it.
        labels: one reference answer, or an object with `reference`, `rubric`, `criteria` or some of them (as JSON it
            may be a text), or an empty string.

    Returns:
        `rewards`, `scores` (in [0, 1]) and the values of `extra_logs`, each a plain float.

    Raises:
        GroupError: the query does not begin with its prompt, or there are several samples.
        PromptError: the label is an object with unknown fields.
        ServiceError: there is no service: none answers at GRM_URL, or none could be started (GRM_CONFIG).
        RewardError: the service failed and `failure.policy` is `raise`.
    """
    with one_sample(queries, prompts, labels) as (query, prompt, label):
        response = response_of(query, prompt)
        sample = WireGroup(prompt=encodable(prompt), responses=[response], **read_label(label)._asdict())
        reward = run_in_background(_reward(sample))
    return {"rewards": reward.value, "scores": reward.unit_mean, "extra_logs": reward.logs}


async def _reward(sample: WireGroup) -> SettledReward:
    connection, n = _service()
    # Shielded: a call that is cancelled while the service starts must not cancel what all other calls wait for.
    client = await asyncio.shield(asyncio.wrap_future(connection.client))
    return await reward_settled(client, sample, n, connection.failure)


@functools.cache
def _service() -> tuple[Connection, int]:
    """The service, and the samples per prompt."""
    settings = read_environment()
    if settings.n is None:
        raise ConfigError("GRM_N is not set: set it to OpenRLHF's --rollout.n_samples_per_prompt")
    connection = connect(settings)
    require_siblings(connection.method, settings.n, "GRM_N")
    return connection, settings.n


def _prepare_rollout_actor() -> None:
    """OpenRLHF imports this file in the running event loop of a rollout actor: there, be ready before the first call.

    A wrong configuration or address stops the job at its start; an error in a later call OpenRLHF would only log.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    # OpenRLHF calls `reward_func` through `asyncio.to_thread`: with asyncio's own executor at most 32 calls would wait,
    # and the siblings that a group waits for might get no thread.
    loop.set_default_executor(ThreadPoolExecutor(_threads(), thread_name_prefix="reward"))
    _service()


def _threads() -> int:
    """`MOST_CALLS`, or fewer where half of the files that this process may open are fewer: the rest is vLLM's and
    Ray's."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY or files // 2 >= MOST_CALLS:
        return MOST_CALLS
    logger.warning(
        "this process may open %d files (ulimit -n), so only %d rewards can be waited for at once. With more samples "
        "in flight, groups are judged without some siblings: raise it to %d, or use the agent hook",
        *(files, files // 2, 2 * MOST_CALLS),
    )
    return files // 2


_prepare_rollout_actor()
