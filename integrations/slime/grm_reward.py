"""slime reward functions (`--custom-rm-path`).

    --group-rm --custom-rm-path grm_plugin.integrations.slime.grm_reward.custom_rm --rm-url http://127.0.0.1:8790

`--group-rm` hands over the samples of a prompt together, which is what the GRM wants. Without it the service gathers
them. With `--reward-key K` a reward is a dict with K, and in a group the log values of `judging.fallback` too. slime
refuses `--group-rm` together with evaluation; give evaluation datasets `custom_rm_path: ...grm_reward.custom_rm_eval`:
it knows their samples per prompt, and that `normalize.method` running does not learn from them.

A label is a reference answer, or an object with `reference`, `rubric` and `criteria` or some of them, and perhaps
`source`; rubric, criteria and source may also stand in the sample's metadata.

The address comes from `--rm-url`, or GRM_URL. slime cannot take None: for a missing reward the service's own
`failure.policy` gives a number. Where the service goes away it still does, unless GRM_CONFIG (the YAML's absolute path)
sets another: all samples of a group get `failure.constant`, or with `raise` the rollout ends.

Written for slime 0.3.1 (slime/rollout/rm_hub/__init__.py), which is on no package index: see docs/frameworks.md.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.text import encodable
from grm_plugin.client import Client
from grm_plugin.client.contiguous_groups import BatchRow, contiguous_groups
from grm_plugin.client.settled_rewards import judge_settled, reward_settled
from grm_plugin.config import FailureConfig
from grm_plugin.conversation.labels import Label, read_label
from grm_plugin.conversation.media import refuse_media_fields
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.environment_variables import Connection, connect, read_environment
from grm_plugin.wire.ready import require_siblings

IMAGES = "multimodal_inputs"
"""Where slime's `Sample` has images, sound and video."""


class SlimeSample(Protocol):
    """What is read of slime's `Sample` (slime/utils/types.py): also `metadata`, and that it has no
    `multimodal_inputs`."""

    prompt: str | list[dict[str, Any]]
    response: str
    label: Any


async def custom_rm(args: Any, samples: SlimeSample | Sequence[SlimeSample], **_: Any) -> Any:
    """The reward of one sample, or a list of them for a group; floats, or dicts with `args.reward_key`.

    Raises:
        ConfigError: no address is given, GRM_CONFIG is wrong, or the service cannot reward one sample per prompt.
        PromptError: a prompt holds more than text, or a label has unknown fields.
        ServiceError: nothing that can judge answers at the address when the first reward is asked for.
        RewardError: the service failed, and `failure.policy` is `raise`.
    """
    if isinstance(samples, Sequence):
        client, failure = _training_service(args)
        groups = contiguous_groups(map(_row, samples))
        # slime may leave out samples, such as aborted ones: what is left is still of a group of n.
        n = args.n_samples_per_prompt
        judged = await all_of(judge_settled(client, group, failure, n=max(n, len(group.responses))) for group in groups)
        return [_reply(args, reward.value, reward.logs) for rewards in judged for reward in rewards]
    # Where training hands over groups, a sample on its own comes from evaluation.
    if getattr(args, "group_rm", False):
        return await custom_rm_eval(args, samples)
    client, failure = _training_service(args)
    return await _reward_alone(args, samples, client, failure, args.n_samples_per_prompt)


async def custom_rm_eval(args: Any, sample: SlimeSample, **_: Any) -> Any:
    """`custom_rm` for evaluation datasets, which have `args.n_samples_per_eval_prompt` samples per prompt."""
    connection = _service(_url(args))
    n: int = args.n_samples_per_eval_prompt
    return await _reward_alone(args, sample, connection.client.result(), connection.failure, n, learn=False)


async def _reward_alone(
    args: Any, sample: SlimeSample, client: Client, failure: FailureConfig, n: int, learn: bool = True
) -> Any:
    [group] = contiguous_groups([_row(sample)])
    reward = await reward_settled(client, group, n, failure, learn)
    return _reply(args, reward.value, {})


def _row(sample: SlimeSample) -> BatchRow:
    refuse_media_fields({IMAGES: getattr(sample, IMAGES, None)}, (IMAGES,), "a sample")
    prompt = sample.prompt
    said = encodable(prompt) if isinstance(prompt, str) else prompt
    metadata = getattr(sample, "metadata", None) or {}
    return BatchRow(said, encodable(sample.response), *_label(sample.label, metadata))


def _label(label: Any, metadata: Mapping[str, Any]) -> Label:
    return read_label(label, *(metadata.get(name) for name in ("rubric", "criteria", "source")))


def _reply(args: Any, value: float, logs: dict[str, float]) -> float | dict[str, float]:
    key = getattr(args, "reward_key", None)
    if not key:
        return value
    return {**logs, key: value, getattr(args, "eval_reward_key", None) or key: value}


def _url(args: Any) -> str:
    url = getattr(args, "rm_url", None) or os.environ.get("GRM_URL")
    if not url:
        raise ConfigError("slime does not know its GRM service: pass --rm-url http://HOST:PORT, or set GRM_URL")
    return str(url)


def _training_service(args: Any) -> tuple[Client, FailureConfig]:
    connection = _service(_url(args))
    require_siblings(connection.method, args.n_samples_per_prompt, "--n-samples-per-prompt")
    return connection.client.result(), connection.failure


@functools.cache
def _service(url: str) -> Connection:
    """Connects when the first reward is asked for. Waits for a service that is not there yet, and slime with it; where
    none comes the rollout ends."""
    # All groups of the job come from this process.
    return connect(read_environment({**os.environ, "GRM_URL": url, "GRM_ACTORS": "1"}))
