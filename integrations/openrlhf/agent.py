"""OpenRLHF agent (`--train.agent_func_path`): single-turn generation, rewarded group by group.

OpenRLHF runs the n siblings of a prompt as coroutines of one event loop, but does not say what n is. They all start
before any of them has generated, so each signs in when it starts: whoever has signed in belongs to the group. Training
and evaluation may use different n. This is the hook to prefer: a sample holds no thread, and a group is one request.
Evaluation is told from training by its temperature (GRM_EVAL_TEMPERATURE, which the launcher sets): nothing else tells.

A label is a reference answer, or a JSON object with `reference` and `rubric`, or one of them; text or object.

Configuration: see `grm_plugin.integrations.environment_variables`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from openrlhf.utils.agent import SingleTurnAgentExecutor

from grm_plugin._util.text import encodable
from grm_plugin.client.settled_rewards import judge_settled
from grm_plugin.conversation.labels import read_label
from grm_plugin.conversation.media import refuse_media_fields
from grm_plugin.conversation.response import decode_response
from grm_plugin.integrations.environment_variables import connect, read_environment
from grm_plugin.integrations.openrlhf.siblings import SiblingGroups
from grm_plugin.judging.fallback import SettledReward
from grm_plugin.wire.ready import require_siblings
from grm_plugin.wire.schemas import WireGroup


class AgentExecutor(SingleTurnAgentExecutor):  # type: ignore[misc]
    """One per rollout actor; OpenRLHF makes it without arguments (`trainer/ray/vllm_engine.py`).

    Raises:
        ConfigError: the environment does not say which service to use.
        ServiceError: nothing that can judge answers at GRM_URL.
    """

    def __init__(self) -> None:
        super().__init__(remote_rm_url=None)
        settings = read_environment()
        self._eval_temperature = settings.eval_temperature
        self._service = connect(settings)
        self._groups = SiblingGroups(self._judge)

    async def execute(
        self,
        prompt: str,
        label: object,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """Generate one response and wait for the reward of its group; the dict of `SingleTurnAgentExecutor.execute`.

        `reward`, `scores` (in [0, 1]) and all `extra_logs` are finite floats.

        Raises:
            ConfigError: training draws one sample per prompt, which the service's `normalize.method` cannot reward.
            PromptError: there are images, or the label is an object with unknown fields.
            ServiceError: there is no service, and none could be started (GRM_CONFIG).
            RewardError: the service failed and `failure.policy` is `raise`.
        """
        refuse_media_fields({"images": images}, ("images",), "a sample")
        read_label(label)  # before anything is generated for it
        learn = self._eval_temperature is None or sampling_params.temperature != self._eval_temperature
        # Every call of RolloutRayActor.generate_responses has its own copy of sampling_params, which its samples share.
        group = self._groups.join(sampling_params, prompt, label, learn)
        try:
            # All siblings sign in before the first one goes on, even with an engine that answers without waiting.
            await asyncio.sleep(0)
            if learn:
                require_siblings(self._service.method, group.joined, "--rollout.n_samples_per_prompt")
            output: dict[str, Any] = await super().execute(
                prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images
            )
            [(start, end)] = output["action_ranges"]
            response = decode_response(hf_tokenizer, output["observation_tokens"][start:end])
        except BaseException:
            group.give_up()
            raise
        reward = await group.reward(response)
        output.update(reward=reward.value, scores=reward.unit_mean, extra_logs=reward.logs)
        return output

    async def _judge(
        self, prompt: str, responses: Sequence[str], label: object, learn: bool, n: int
    ) -> list[SettledReward]:
        """The rewards of the responses to a prompt (text with the policy's chat template), in order; see
        `JudgeGroup`."""
        client = await asyncio.wrap_future(self._service.client)
        group = WireGroup(
            prompt=encodable(prompt),
            responses=[encodable(response) for response in responses],
            **read_label(label)._asdict(),
        )
        return await judge_settled(client, group, self._service.failure, learn, n)
