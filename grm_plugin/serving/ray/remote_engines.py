"""The GRM and the meta RM as the service calls them on Ray: replicas in other processes, behind Serve handles."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from grm_plugin._util.concurrency import being_cancelled
from grm_plugin.errors import EngineError, GRMError
from grm_plugin.judging.seams import check_completions, check_logits
from grm_plugin.serving.probing import ONE_TOKEN, PROBE_CRITIQUE
from grm_plugin.serving.ray.failover import Failover
from grm_plugin.serving.ray.replica_watch import watch_of
from grm_plugin.types import Completion, Conversation, Prompt, Sampling

NO_SERVE_PAUSE_S = 1.0
"""Pause before the next try when Serve has refused a request at once, as it does while it restarts."""


class RayGenerator:
    """A `Generator` whose replicas are behind a Serve handle."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._failover = Failover(watch_of(handle.app_name, handle.deployment_name))

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        answer: list[Completion] = await self._failover.call(
            lambda attempt: _call(self._handle.generate, attempt, prompt, sampling),
            partial(check_completions, n=sampling.n),
            timed=sampling.max_tokens > ONE_TOKEN.max_tokens,
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
            timed=list(conversations) != [PROBE_CRITIQUE],
        )
        return answer


async def _call(method: Any, attempt: int, *arguments: Any) -> Any:
    """Call a replica of a deployment; `attempt` tells `replica_router.py` which replicas to avoid.

    A caller that is cancelled cancels the call.

    Raises:
        EngineError: the engine failed, or Ray could not reach it.
    """
    response = method.remote(*arguments, attempt=attempt)
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        if being_cancelled():
            raise
        raise EngineError("an engine replica cancelled a request by itself") from None
    except RayActorError as error:
        raise EngineError(f"an engine replica died under a request: {error}") from None
    except RayTaskError as error:
        raise _engine_error(error) from None
    except (RayError, RayServeException) as error:
        await asyncio.sleep(NO_SERVE_PAUSE_S)
        raise EngineError(f"Ray Serve cannot reach an engine replica: {error}") from None


def _engine_error(error: RayTaskError) -> EngineError:
    """The error that the replica raised, without the traceback of its process that Ray adds to the message."""
    cause = error.cause
    if isinstance(cause, EngineError):
        return type(cause)(str(cause))
    return EngineError(str(cause) if isinstance(cause, GRMError) else f"{type(cause).__name__}: {cause}")
