"""NeMo-RL environment: single- and multi-turn conversations rewarded by a GRM.

    register_env("grm", "grm_plugin.integrations.nemo.grm_environment.GRMEnvironment")

    env:
      grm: {url: "http://127.0.0.1:8790", n: 8, reference: answer}

NeMo-RL's synchronous rollout gives all samples of a step at once, the asynchronous one each on its own; the service
gathers those. Written for the interface of NeMo-RL 0.8 (nemo_rl/environments/interfaces.py). Its package on the index
is a placeholder, so the tests use that interface as documented: see docs/frameworks.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import ray
import torch

from grm_plugin._util.background import run_in_background
from grm_plugin._util.concurrency import all_of
from grm_plugin.client import MARGIN_S, Client
from grm_plugin.client.contiguous_groups import BatchRow, contiguous_groups
from grm_plugin.client.readiness import read_ready
from grm_plugin.conversation.labels import read_label
from grm_plugin.conversation.media import refuse_media_fields
from grm_plugin.conversation.messages import text_of
from grm_plugin.errors import GroupError
from grm_plugin.wire.ready import require_siblings
from grm_plugin.wire.schemas import WireGroup

try:
    from nemo_rl.environments.interfaces import EnvironmentInterface, EnvironmentReturn
except ImportError as error:
    raise ImportError(f"this needs NeMo-RL, from its repository (written for 0.8): {error}") from error

CONCURRENT_STEPS = 1024
"""Samples of an asynchronous rollout wait for their siblings inside `step`, each in a thread of the actor."""

STRUCTURE = ("tool_calls", "function_call", "reasoning_content", "reasoning")
"""Fields of a message that say more than its content does."""


class GRMEnvironmentConfig(TypedDict):
    """The section `env.grm` of NeMo-RL's configuration."""

    url: str
    """`http://HOST:PORT` of the service."""
    n: int
    """`grpo.num_generations_per_prompt`."""
    reference: NotRequired[str]
    """Key of a reference answer in the sample's `extra_env_info`, or of an object with `reference`, `rubric` and
    `criteria`."""
    rubric: NotRequired[str]
    """Key of a grading note there."""
    criteria: NotRequired[str]
    """Key of the criteria there, by which the sample is scored one by one."""
    source: NotRequired[str]
    """Key of the task that it comes from, by which the service chooses criteria and principles."""


class GRMEnvironmentWorker(EnvironmentInterface):  # type: ignore[misc]
    """Rewards conversations whose last turn is the policy's; every episode ends after it.

    NeMo-RL takes no missing reward: in its place the service puts what its `failure.policy` says. Where the service
    itself fails, the error ends the training.

    Raises:
        ServiceError: the service does not answer.
        ConfigError: it cannot reward one sample per prompt.
    """

    def __init__(self, cfg: GRMEnvironmentConfig) -> None:
        self._n = int(cfg["n"])
        service = read_ready(cfg["url"])
        require_siblings(service.method, self._n, "env.grm.n")
        self._client = Client(cfg["url"], service.deadline_s + MARGIN_S, service.groups_in_flight(self._n))
        self._reference, self._rubric = cfg.get("reference", ""), cfg.get("rubric", "")
        self._criteria, self._source = cfg.get("criteria", ""), cfg.get("source", "")

    def step(
        self,
        message_log_batch: Sequence[Sequence[Mapping[str, Any]]],
        metadata: Sequence[Mapping[str, Any] | None],
        *_: Any,
        **__: Any,
    ) -> Any:
        """An `EnvironmentReturn` of float32 rewards, shape (B,), for B message logs with their `extra_env_info`.

        Raises:
            GroupError: a message log does not end with the policy's turn, or the lengths do not match.
            PromptError: a message holds more than text, or a label has unknown fields.
            ServiceError, WireError: the service failed.
        """
        if len(message_log_batch) != len(metadata):
            raise GroupError(f"{len(message_log_batch)} message logs came with {len(metadata)} metadata: one for each")
        rows = [self._row(log, info or {}) for log, info in zip(message_log_batch, metadata, strict=True)]
        rewards = run_in_background(self._rewards(rows))
        size = len(rows)
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": ""} for _ in range(size)],
            metadata=list(metadata),
            next_stop_strings=[None] * size,
            rewards=torch.tensor(rewards, dtype=torch.float32),
            terminateds=torch.ones(size, dtype=torch.bool),
            answers=[None] * size,
        )

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, Any]]:
        """The batch as it is; NeMo-RL logs the rewards itself."""
        return batch, {}

    def shutdown(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _rewards(self, rows: Sequence[BatchRow]) -> list[float]:
        groups = contiguous_groups(rows)
        if len(rows) == 1 and self._n > 1:
            return [await self._client.areward(groups[0], self._n)]
        judged = await all_of(self._judge(group) for group in groups)
        return [reward for rewards in judged for reward in rewards]

    async def _judge(self, group: WireGroup) -> list[float]:
        n = max(self._n, len(group.responses))  # fewer are what is left of a group
        [judgement] = await self._client.ajudge([group.model_copy(update={"n": n})])
        return [reward.settled for reward in judgement.rewards]

    def _row(self, log: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> BatchRow:
        if not log or log[-1].get("role") != "assistant":
            raise GroupError("a message log does not end with the policy's turn (role assistant): nothing to reward")
        turns = [_without_tensors(turn) for turn in log]
        label = read_label(*map(info.get, (self._reference, self._rubric, self._criteria, self._source)))
        if any(turn.get(field) for turn in turns[:-1] for field in STRUCTURE):
            return BatchRow(turns[:-1], turns[-1:], *label)
        # NeMo-RL's data processors write the chat template's text into the contents: laid end to end they are the
        # prompt as the policy saw it, which the service reads by conversation.format.
        prompt = "".join(text_of(turn.get("content")) for turn in turns[:-1])
        structured = any(turns[-1].get(field) for field in STRUCTURE)
        return BatchRow(prompt, turns[-1:] if structured else text_of(turns[-1].get("content")), *label)


def _without_tensors(turn: Mapping[str, Any]) -> dict[str, Any]:
    refuse_media_fields(turn)
    return {name: value for name, value in turn.items() if not isinstance(value, torch.Tensor)}


GRMEnvironment = ray.remote(max_concurrency=CONCURRENT_STEPS)(GRMEnvironmentWorker)
"""What `register_env` takes: NeMo-RL makes the actor."""
