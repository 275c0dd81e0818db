"""`POST /v1/sample`: the reward of one sample. The service gathers the samples of a prompt, and judges them together.

The payload is that of slime's `--rm-type remote_rm` (slime/rollout/rm_hub/__init__.py), whose `--rm-url` can be this
route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from grm_plugin.conversation.messages import as_reference, to_conversation
from grm_plugin.errors import PromptError, WireError
from grm_plugin.serving.http.disconnects import until_disconnect
from grm_plugin.serving.http.limits import check_limits
from grm_plugin.serving.http.query import Learn, RequestId, SamplesPerPrompt, WithLogs
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Conversation, Sample
from grm_plugin.wire.schemas import SampleReply, WireModel


class SampleRequest(WireModel):
    """One response to one prompt."""

    prompt: str | Annotated[list[dict[str, Any]], Field(min_length=1)]
    """Text as the policy saw it, in the chat format of `conversation.format`, or chat messages."""
    response: str
    """The text to reward."""
    label: Any = None
    """A reference answer for the GRM, or null. Anything but text is shown to the GRM as JSON."""
    rubric: str | None = None
    """A grading note shown to the GRM."""


def sample_router(service: Callable[[], RewardService]) -> APIRouter:
    """The route; `service` returns the service and is called for every request."""
    router = APIRouter()

    @router.post("/v1/sample", summary="The reward of one sample, as a bare number or with its log values")
    async def sample(
        payload: SampleRequest,
        request: Request,
        n: SamplesPerPrompt = None,
        request_id: RequestId = None,
        logs: WithLogs = False,
        learn: Learn = True,
    ) -> float | SampleReply:
        check_limits(payload, 1, service().config.service)
        conversation = _conversation(service(), payload)
        read = Sample(conversation, payload.response, as_reference(payload.label), payload.rubric or None)
        settled, values = await until_disconnect(request, service().reward_sample(read, n, request_id, learn))
        return SampleReply(reward=settled.value, unit=settled.unit_mean, logs=values) if logs else settled.value

    return router


def _conversation(service: RewardService, payload: SampleRequest) -> Conversation:
    if isinstance(payload.prompt, str):
        return service.read_prompt(payload.prompt)
    try:
        return to_conversation(payload.prompt)
    except PromptError as error:
        raise WireError(f"prompt: {error}") from None
