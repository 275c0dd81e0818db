"""verl reward manager: the n samples of a prompt are judged as one group, wherever verl's workers are.

    grm-plugin serve --config preset:deepseek_grm_16b        # first, on GPUs that verl does not use

    python -m verl.trainer.main_ppo \\
        reward.reward_manager.source=importlib \\
        reward.reward_manager.module.path=pkg://grm_plugin.integrations.verl.reward_manager \\
        reward.reward_manager.name=GRMRewardManager \\
        +reward.reward_kwargs.grm.url=http://HOST:8790 ...

Leave `reward.reward_model.enable` at False: the GRM is served outside of verl. With True, and without a
`reward.custom_reward_function.path`, verl calls no reward manager but sends every sample to the /classify of its own
model; this manager refuses to start then.

Validation with another n: rows whose `extra_info["split"]` is not "train" (verl's data scripts write it) come in groups
of `rollout.val_kwargs.n`; `extra_info["rollout_n"]` says it for a single row. Where neither tells, a validation group
waits `grm.wait_s` for samples that do not exist. By the same `split`, `normalize.method` running does not learn from
validation. Text only, no images.

`ground_truth` is a reference answer, or an object with `reference` and `rubric` or one of them; a rubric may also stand
in `extra_info["rubric"]`.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.metadata import version
from typing import Any

from grm_plugin.client.readiness import read_ready
from grm_plugin.conversation.response import decode_response
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.verl.group_gatherer import gatherer_actor
from grm_plugin.integrations.verl.results import as_result
from grm_plugin.integrations.verl.samples import GroupSizes, read_member
from grm_plugin.integrations.verl.settings import read_settings
from grm_plugin.judging.fallback import SettledReward
from grm_plugin.wire.ready import require_siblings

try:
    from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase
except ImportError as error:
    raise ImportError(
        "this reward manager needs the reward loop of verl 0.9 (tested with 0.9.1), which is not installed here or has "
        f"moved: {error}"
    ) from error

logger = logging.getLogger(__name__)

CALLS_PER_WORKER = 1000
"""Calls that a reward-loop worker holds at once: Ray's default for actors with async methods."""


class GRMRewardManager(RewardManagerBase):  # type: ignore[misc]
    """One per reward-loop worker; verl makes it in `load_reward_manager` (`trainer/ppo/reward.py`).

    Raises:
        ConfigError: verl's configuration would bypass this manager, starve it, or does not say where the service is.
        ServiceError: nothing that can judge answers at the service's address.
    """

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        compute_score: Any,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
    ) -> None:
        super().__init__(config, tokenizer, compute_score)
        _warn_unless_tested()
        _require_calls(config)
        rollout = config.actor_rollout_ref.rollout
        self._sizes = GroupSizes(rollout.n, rollout.val_kwargs.n)
        _require_places(config, self._sizes)
        section = (config.reward.get("reward_kwargs") or {}).get("grm")
        settings = read_settings(section)
        service = read_ready(settings.url)
        require_siblings(service.method, self._sizes.training, "actor_rollout_ref.rollout.n")
        self._gatherer = gatherer_actor(settings.completed(service, self._sizes.training))

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The reward of one sample (`verl.DataProto`; of several outputs the last), once its group is judged.

        `reward_score` is finite; `reward_extra_info` always has the keys `results.INFO_KEYS`.

        Raises:
            GroupError: the sample has no uid.
            PromptError: its prompt holds more than text, or nothing.
            RewardError: a reward is missing and `failure.policy` is `raise`.
        """
        item = data[-1:][0]
        response_ids = item.batch["responses"]
        length = int(item.batch["attention_mask"][-len(response_ids) :].sum())
        response = await asyncio.to_thread(decode_response, self.tokenizer, response_ids[:length].tolist())
        member = read_member(item.non_tensor_batch, response, self._sizes, bool(data.meta_info.get("validate")))
        reward: SettledReward = await self._gatherer.reward.remote(member)
        return as_result(reward)


def _warn_unless_tested() -> None:
    if not version("verl").startswith("0.9."):
        logger.warning("verl %s is not the one that this reward manager was tested with (0.9.1)", version("verl"))


def _require_calls(config: Any) -> None:
    """verl must call this manager, and tell it the uid (`experimental/reward_loop/reward_loop.py`, `compute_score`)."""
    model = config.reward.reward_model
    if not model.enable:
        return
    if not model.enable_resource_pool:
        raise ConfigError(
            "reward.reward_model.enable=True without enable_resource_pool makes verl score samples without their uid, "
            "and groups are unknown: set reward.reward_model.enable=False (the GRM is served outside of verl)"
        )
    if config.reward.custom_reward_function.path is None:
        raise ConfigError(
            "reward.reward_model.enable=True makes verl send samples to its own model and never call this reward "
            "manager: set it to False (the GRM is served outside of verl). If you need that model for something else, "
            "also set reward.custom_reward_function.path=pkg://verl.utils.reward_score "
            "reward.custom_reward_function.name=default_compute_score: verl then calls this manager, and never that "
            "function"
        )


def _require_places(config: Any, sizes: GroupSizes) -> None:
    """A call holds a place in its worker while it waits for siblings, which need places too: all samples of a batch
    must have one.

    Without a `val_batch_size` verl validates all of its set at once, and the set's size is not known here: the
    gatherer warns of groups that were judged in parts.
    """
    data, workers = config.data, config.reward.num_workers
    batches = {
        "training": max(data.train_batch_size, data.get("gen_batch_size") or 0) * sizes.training,
        "validation": (data.get("val_batch_size") or 0) * sizes.validation,
    }
    for phase, samples in batches.items():
        if samples > workers * CALLS_PER_WORKER:
            raise ConfigError(
                f"{samples} samples per {phase} batch do not fit into {workers} reward workers of {CALLS_PER_WORKER} "
                "calls each, and groups would wait for siblings that cannot come in: set "
                f"reward.num_workers={-(-samples // CALLS_PER_WORKER)}"
            )
