"""TRL reward functions of single criteria: the GRM judges a batch once, and each function takes its criterion from
that.

    from grm_plugin.integrations.trl.by_criterion import by_criterion

    functions = by_criterion(url="http://127.0.0.1:8790")
    GRPOTrainer(
        reward_funcs=functions,
        args=GRPOConfig(
            reward_weights=[function.weight for function in functions],
            multi_objective_aggregation="normalize_then_sum",      # GDPO, arXiv 2601.05242
            ...
        ),
    )

Each value is the criterion's mean vote, normalised by the service as a reward is; higher is better, of penalties too.
Gates (a must, a rule with `gate`) hold in the service's own reward only: beside that vector give `GRMReward` for them.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from grm_plugin._util.background import run_in_background
from grm_plugin._util.digests import digest
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.trl.grm_reward import GRMReward, LogExtra, LogMetric
from grm_plugin.integrations.trl.trainer_batch import Turns
from grm_plugin.wire.schemas import WireGroup, WireReward


def by_criterion(
    url: str | None = None, names: Sequence[str] | None = None, own: bool = False, **options: Any
) -> list[CriterionFunction]:
    """One reward function for each criterion, for `reward_funcs`.

    Args:
        url: of a running service.
        names: of the criteria; None takes all of the service's configuration.
        own: whether names may be those of criteria that only the samples bring.
        options: those of `GRMReward`; its `config` instead of `url` starts a service.

    Raises:
        ConfigError: as `GRMReward`; or a name is none of the configuration's, or there is none at all.
        ServiceError: as `GRMReward`.
    """
    reward = GRMReward(url, **options)
    known = reward.weights
    unknown = [name for name in names or () if name not in known]
    if unknown and not own:
        near = get_close_matches(unknown[0], known, 1)
        raise ConfigError(
            f"the service has no criterion {unknown[0]!r}"
            + (f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(known) or 'none (judge.criteria)'}")
        )
    chosen = list(known) if names is None else list(names)
    if not chosen:
        raise ConfigError(
            "the service's configuration has no criteria: set judge.criteria there, or give names of those that the "
            "samples bring, with own=True; one reward for all is GRMReward"
        )
    return [CriterionFunction(reward, name, known.get(name, 1.0), tuple(chosen)) for name in chosen]


class CriterionFunction:
    """The values of one criterion. `weight` is its weight in the service's configuration, for `reward_weights`.

    Args:
        reward: judges; all functions of a vector have the same one.
        name: of the criterion.
        weight: of the criterion.
        siblings: the names of all functions of the vector.
    """

    def __init__(self, reward: GRMReward, name: str, weight: float, siblings: tuple[str, ...]) -> None:
        self.__name__ = f"grm_{name}"
        self.name = name
        self.weight = weight
        self._reward = reward
        self._siblings = siblings

    async def __call__(
        self,
        completions: Sequence[str | Turns],
        prompts: Sequence[str | Turns] | None = None,
        *,
        log_extra: LogExtra | None = None,
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """The values of one batch, None where the criterion has none. Arguments and errors as of `GRMReward`."""
        first = self.name == self._siblings[0]  # what is logged of a batch is logged once
        groups = self._reward.groups_of(completions, prompts, columns)
        judged = await _judged_once(
            *(self._reward, self.name, self._siblings, groups, log_extra if first else None, log_metric)
        )
        return [_value_of(reward, self.name) for reward in judged]

    def blocking(
        self, completions: Sequence[str | Turns], prompts: Sequence[str | Turns] | None = None, **columns: Any
    ) -> list[float | None]:
        """The same for trainers that do not await objects."""
        return run_in_background(self(completions, prompts, **columns))


def _value_of(reward: WireReward | None, name: str) -> float | None:
    if reward is None or reward.value is None:
        return None
    return next((row.value for row in reward.criteria if row.name == name), None)


class _Batch:
    """A batch on its way, and who has taken it."""

    def __init__(self, work: asyncio.Task[list[WireReward | None]]) -> None:
        self.work = work
        self.taken: set[str] = set()


_BATCHES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[bytes, _Batch]] = weakref.WeakKeyDictionary()
"""By event loop and content; a batch goes when all functions of its vector have taken it."""

MOST_BATCHES = 8
"""Batches remembered for functions that have not taken them, which some may never do."""


async def _judged_once(
    reward: GRMReward,
    name: str,
    siblings: tuple[str, ...],
    groups: Sequence[WireGroup],
    log_extra: LogExtra | None,
    log_metric: LogMetric | None,
) -> list[WireReward | None]:
    """What the service says of a batch, asked once for all functions of a vector; copies of them share it too."""
    said = [group.model_dump(mode="json", exclude_defaults=True) for group in groups]
    key = digest([reward.url, siblings, said]).encode()
    batches = _BATCHES.setdefault(asyncio.get_running_loop(), {})
    batch = batches.get(key)
    if batch is None or name in batch.taken:  # the same batch again is a new step
        work = reward.judged(groups, log_extra=log_extra, log_metric=log_metric)
        batch = batches[key] = _Batch(asyncio.create_task(work))
        while len(batches) > MOST_BATCHES:
            del batches[next(iter(batches))]
    batch.taken.add(name)
    if batch.taken == set(siblings):
        batches.pop(key, None)
    return await asyncio.shield(batch.work)
