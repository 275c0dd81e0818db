"""TRL reward function: whole groups of completions, judged by a GRM.

    from grm_plugin.integrations.trl.grm_reward import GRMReward

    GRPOTrainer(reward_funcs=[GRMReward(url="http://127.0.0.1:8790")], ...)        # a service that runs already
    GRPOTrainer(reward_funcs=[GRMReward(config="preset:deepseek_grm_16b")], ...)  # one started here, and stopped after

Tested with TRL 1.16: GRPOTrainer, and AsyncGRPOTrainer's worker, which gets a pickled copy. ms-swift awaits the object
as well; axolotl (TRL 1.9) does not await objects, there use its method `blocking`. See docs/frameworks.md.
"""

from __future__ import annotations

import functools
import logging
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grm_plugin._util.background import run_in_background
from grm_plugin._util.concurrency import all_of
from grm_plugin.client import MARGIN_S, Client
from grm_plugin.client.contiguous_groups import contiguous_groups
from grm_plugin.client.readiness import read_ready
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError, GRMError
from grm_plugin.integrations.trl.local_service import find_or_start, stop_service
from grm_plugin.integrations.trl.logged_values import critique_columns, metrics
from grm_plugin.integrations.trl.tested_version import warn_unless_tested
from grm_plugin.integrations.trl.trainer_batch import TrainerBatch, Turns, in_training
from grm_plugin.wire.ready import require_siblings
from grm_plugin.wire.schemas import WireGroup, WireJudgement, WireReward
from grm_plugin.wire.token import Token

logger = logging.getLogger(__name__)

LogExtra = Callable[[str, list[Any]], None]
LogMetric = Callable[[str, float], None]


class GRMReward:
    """A reward function for `reward_funcs`.

    TRL does not pass the group size: equal prompts that follow each other are a group, in training and evaluation
    alike. Where a group spans ranks, each rank's part is judged for itself: keep `per_device_train_batch_size *
    steps_per_generation` a multiple of `num_generations`, and leave `normalize.method` at `unit` if you cannot. Method
    `running` does not learn from evaluation where the trainer passes `log_metric`, by which it is known; ms-swift and
    axolotl do not.

    A completion without a vote, or one that the service failed on, gets None: TRL leaves it out of its group's
    statistics (advantage 0). `on_outage="raise"` ends the training instead when the service fails.

    Args:
        url: `http://HOST:PORT` of a running service.
        config: instead of `url`: a configuration, or the path of one. Rank 0 starts its service before this returns,
            and stops it when the object goes away, in `close`, or when the process ends.
        reference: dataset column with reference answers for the GRM, or with objects of a `reference`, a `rubric` and
            `criteria`.
        rubric: dataset column with per-sample grading notes.
        criteria: dataset column with what each sample is scored by, one by one: lists of objects with `name`, `text`,
            `weight` and `kind`.
        source: dataset column with the task that a sample comes from, by which the service chooses criteria.
        on_outage: `none` or `raise`.
        timeout_s: longest wait for one group; None waits as long as the service may take.

    Raises:
        ConfigError: not exactly one of `url` and `config` is given, or the configuration is wrong.
        ServiceError: the service cannot be reached or started, or its GRM does not answer.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        config: Config | str | Path | None = None,
        reference: str | None = None,
        rubric: str | None = None,
        criteria: str | None = None,
        source: str | None = None,
        on_outage: str = "none",
        timeout_s: float | None = None,
    ) -> None:
        if on_outage not in ("none", "raise"):
            raise ConfigError(f"on_outage is {on_outage!r}; use 'none' or 'raise'")
        warn_unless_tested()
        self.__name__ = "grm"  # TRL's metrics are rewards/grm/mean and rewards/grm/std
        found = find_or_start(url, config)
        self.url, self._token = found.url, found.token
        self.reference = reference
        self.rubric = rubric
        self.criteria = criteria
        self.source = source
        self.on_outage = on_outage
        self._stop = weakref.finalize(self, stop_service, found.started)
        service = read_ready(self.url, self._token)
        self.timeout_s = service.deadline_s + MARGIN_S if timeout_s is None else timeout_s
        self._method = service.method
        self.weights: dict[str, float] = service.criteria
        """The weight of each criterion that the service's configuration names."""
        self._groups_in_flight = service.groups_in_flight(processes=int(os.environ.get("WORLD_SIZE", "1")))

    async def __call__(
        self,
        completions: Sequence[str | Turns],
        prompts: Sequence[str | Turns] | None = None,
        *,
        log_extra: LogExtra | None = None,
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Rewards of one batch (trl/trainer/grpo_trainer.py, `_calculate_rewards`), None where there is no vote.

        Args:
            completions: texts, or lists of chat messages; siblings follow each other.
            prompts: likewise, of the same length. ms-swift gives none; then `columns["messages"]` holds both.
            log_extra: gets a critique and the votes for each completion, for TRL's table of completions.
            log_metric: gets means over the batch.
            columns: the dataset's other columns, one entry per completion.

        Raises:
            ConfigError: no prompt has two completions, and the service's `normalize.method` rewards none alone.
            GroupError: the lengths do not match.
            PromptError: there are images (not supported), or messages of an unknown kind.
            ServiceError, WireError: the service failed, and `on_outage` is `raise`.
        """
        groups = self.groups_of(completions, prompts, columns)
        judged = await self.judged(groups, log_extra=log_extra, log_metric=log_metric)
        return [reward.value if reward else None for reward in judged]

    def groups_of(
        self,
        completions: Sequence[str | Turns],
        prompts: Sequence[str | Turns] | None,
        columns: Mapping[str, Any],
    ) -> list[WireGroup]:
        """The groups of one batch, with its columns. Arguments and errors as of `__call__`."""
        named = self.reference, self.rubric, self.criteria, self.source
        return contiguous_groups(TrainerBatch(completions, prompts, columns).rows(*named))

    async def judged(
        self, groups: Sequence[WireGroup], *, log_extra: LogExtra | None = None, log_metric: LogMetric | None = None
    ) -> list[WireReward | None]:
        """The rewards of a batch's groups with all that the service says, None where it failed. See `__call__`."""
        sizes = {len(group.responses) for group in groups}
        _warn_of_parts(tuple(sorted(sizes)))
        learn = in_training(log_metric)
        if sizes == {1} and learn:
            require_siblings(self._method, 1, "the number of completions of a prompt in a rank's batch")
        judgements = await all_of(self._judge(group, learn, detail=log_extra is not None) for group in groups)
        rewards: list[WireReward | None] = []
        for group, judgement in zip(groups, judgements, strict=True):
            rewards += judgement.rewards if judgement else [None] * len(group.responses)
        if log_extra is not None:
            for name, values in critique_columns(groups, judgements).items():
                log_extra(name, values)
        if log_metric is not None:
            for name, value in metrics(groups, judgements).items():
                log_metric(name, value)
        return rewards

    def blocking(
        self, completions: Sequence[str | Turns], prompts: Sequence[str | Turns] | None = None, **columns: Any
    ) -> list[float | None]:
        """The same for trainers that do not await objects: TRL before 1.16, axolotl."""
        return run_in_background(self(completions, prompts, **columns))

    def close(self) -> None:
        """Stop the service if this object has started it."""
        self._stop()

    def __getstate__(self) -> Mapping[str, Any]:
        """A copy in another process uses the service, and does not own it."""
        return {name: value for name, value in vars(self).items() if name != "_stop"}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._stop = weakref.finalize(self, stop_service, None)

    async def _judge(self, group: WireGroup, learn: bool, detail: bool) -> WireJudgement | None:
        client = _client(self.url, self.timeout_s, self._groups_in_flight, self._token)
        try:
            [judgement] = await client.ajudge([group], learn=learn, detail=detail)
        except GRMError as error:
            if self.on_outage == "raise":
                raise
            logger.error("no reward for a group of %d completions: %s", len(group.responses), error)
            return None
        return judgement


@functools.cache
def _warn_of_parts(sizes: tuple[int, ...]) -> None:
    """Say that groups differ in size: once per process for each combination of sizes."""
    if len(sizes) > 1:
        logger.warning(
            "groups of %s completions came in one batch: where that is because a group spans ranks, its parts are "
            "judged apart; make per_device_train_batch_size * steps_per_generation a multiple of num_generations",
            " and ".join(map(str, sizes)),
        )


@functools.cache
def _client(url: str, timeout_s: float, groups_in_flight: int, token: Token | None) -> Client:
    """One per process: it keeps its connections however often the reward function is copied."""
    return Client(url, timeout_s, groups_in_flight, token)
