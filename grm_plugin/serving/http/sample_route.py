"""`POST /v1/sample`: the reward of one sample. The service gathers the samples of a prompt, and judges them together.

The payload is that of slime's `--rm-type remote_rm` (slime/rollout/rm_hub/__init__.py), whose `--rm-url` can be this
route.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request

from grm_plugin.conversation.labels import read_label
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.conversation.plain_json import identity_of
from grm_plugin.errors import PromptError, WireError
from grm_plugin.serving.http.disconnects import until_disconnect
from grm_plugin.serving.http.judging_route import JudgingRoute
from grm_plugin.serving.http.limits import check_limits
from grm_plugin.serving.http.query import Learn, RequestId, SamplesPerPrompt, WithLogs
from grm_plugin.serving.http.served import Served
from grm_plugin.types import Sample
from grm_plugin.wire.fields import Criteria, Label, Messages, Reference, Response
from grm_plugin.wire.schemas import SampleReply, WireModel


class SampleRequest(WireModel):
    """One response to one prompt."""

    prompt: str | Messages
    """Text as the policy saw it, in the chat format of `conversation.format`, or messages of OpenAI's chat API."""
    response: Response
    """What to reward: a text, or messages of OpenAI's chat API (one, or a list of what the assistant and its tools
    said)."""
    label: Label = None
    """A reference answer for the GRM, an object with `reference`, `rubric`, `criteria` or some of them, and with
    `source`, or null. Anything else that is no text is shown to the GRM as JSON."""
    rubric: Reference = None
    """A grading note shown to the GRM. What is not a string is shown as JSON."""
    criteria: Criteria = ()
    """What the response is scored by, one by one, where the label has none; as in `/v1/score`."""
    source: Reference = None
    """The task that the prompt comes from."""


def sample_router(service: Callable[[], Served]) -> APIRouter:
    """The route; `service` returns the service and is called for every request."""
    router = APIRouter(route_class=JudgingRoute)

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
        read = _sample(service(), payload)
        settled = await until_disconnect(request, service().reward_sample(read, n, request_id, learn))
        return SampleReply(reward=settled.value, unit=settled.unit_mean, logs=settled.logs) if logs else settled.value

    return router


def _sample(service: Served, payload: SampleRequest) -> Sample:
    prompt = payload.prompt
    try:
        label = read_label(payload.label, payload.rubric, payload.criteria or None, payload.source)
        if isinstance(prompt, str):
            read = service.prompts.read(prompt)
            return Sample(read.conversation, to_response(payload.response, prompt), *label, read.identity)
        return Sample(to_conversation(prompt), to_response(payload.response), *label, identity_of(prompt))
    except PromptError as error:
        raise WireError(f"prompt: {error}") from None
