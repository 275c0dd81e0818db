"""The engines as seen from the reward service: behind Ray Serve handles, in other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from grm_plugin.errors import EngineError, GRMError
from grm_plugin.judging.seams import check_completions, check_logits
from grm_plugin.serving.ray.failover import Failover
from grm_plugin.serving.ray.replica_watch import watch_of
from grm_plugin.types import Completion, Conversation, Prompt, Sampling

NO_SERVE_PAUSE_S = 1.0
"""Before the next try where Serve refused at once, as it does while it restarts."""


class RayGenerator:
    """A `Generator` whose replicas are behind a Serve handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._failover = Failover(watch_of(handle.app_name, handle.deployment_name))

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        answer: list[Completion] = await self._failover.call(
            lambda attempt: _call(self._handle.generate, attempt, prompt, sampling),
            partial(check_completions, n=sampling.n),
            timed=sampling.max_tokens > 1,  # a readiness probe
        )
        return answer


class RayMetaRM:
    """A `MetaRM` whose replicas are behind a Serve handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._failover = Failover(watch_of(handle.app_name, handle.deployment_name))

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        answer: list[float] = await self._failover.call(
            lambda attempt: _call(self._handle.rate, attempt, conversations),
            partial(check_logits, n=len(conversations)),
        )
        return answer


async def _call(method: Any, attempt: int, *arguments: Any) -> Any:
    """Call a deployment, as an attempt that its router (`serving.routing`) knows; cancelled with the caller.

    Raises:
        EngineError: what the engine raised, or what kept Ray from asking it.
    """
    response = method.remote(*arguments, attempt=attempt)
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
    except RayActorError as error:
        raise EngineError(f"an engine replica died under a request: {error}") from None
    except RayTaskError as error:
        raise _engine_error(error) from None
    except (RayError, RayServeException) as error:
        await asyncio.sleep(NO_SERVE_PAUSE_S)
        raise EngineError(f"Ray Serve cannot reach an engine replica: {error}") from None


def _engine_error(error: RayTaskError) -> EngineError:
    """What the replica raised, without Ray's remote traceback."""
    cause = error.cause
    if isinstance(cause, EngineError):
        return type(cause)(str(cause))
    return EngineError(str(cause) if isinstance(cause, GRMError) else f"{type(cause).__name__}: {cause}")
