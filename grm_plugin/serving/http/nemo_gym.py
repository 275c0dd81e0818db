"""The routes of a NeMo-Gym resources server: `POST /seed_session` and `POST /verify`.

Gym's agents call both (nemo_gym/base_resources_server.py, responses_api_agents/simple_agent), once per rollout. The
rollouts of a prompt are judged together: the service gathers `group.n` of them, for at most `group.wait_s`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from grm_plugin._util.fences import fenced
from grm_plugin.conversation.labels import is_missing, read_label
from grm_plugin.conversation.messages import text_of, to_conversation, to_response
from grm_plugin.conversation.plain_json import identity_of, json_text
from grm_plugin.errors import PromptError, WireError
from grm_plugin.serving.http.disconnects import until_disconnect
from grm_plugin.serving.http.judging_route import JudgingRoute
from grm_plugin.serving.http.limits import check_limits
from grm_plugin.serving.http.query import Learn, RequestId, SamplesPerPrompt
from grm_plugin.serving.http.served import Served
from grm_plugin.types import Conversation, Message, Sample
from grm_plugin.wire.fields import Criteria, Reference

JUDGE_FAILED = "judge_failed"
"""Gym's name for the failure of a judge to give a verdict (nemo_gym/failure_kinds.py)."""

OF_A_ROLLOUT = (
    *("seed", "metadata", "user", "safety_identifier", "prompt_cache_key", "service_tier", "store", "stream"),
    *("temperature", "top_p", "top_logprobs", "max_output_tokens", "max_tool_calls", "background", "model"),
)
"""What of Gym's `responses_create_params` makes no two tasks different: how a rollout was sampled and is filed."""


class GymModel(BaseModel):
    """A part of Gym's messages. They carry task fields of any name, which the reply repeats."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, hide_input_in_errors=True)


class GymCreateParams(GymModel):
    """What the policy was asked, as OpenAI's responses API takes it."""

    input: str | list[dict[str, Any]]
    """The conversation: one user turn, or a list of messages, tool calls and their outputs, and items of any kind."""
    instructions: str | None = None
    """The system turn before `input`."""


class GymResponse(GymModel):
    """What the policy answered, as OpenAI's responses API gives it."""

    output: list[dict[str, Any]]
    """Messages, reasoning, tool calls and their outputs, and items of any kind: what is rewarded."""


class VerifyRequest(GymModel):
    """One rollout (nemo_gym's BaseVerifyRequest)."""

    responses_create_params: GymCreateParams
    """The request to the policy."""
    response: GymResponse
    """The policy's response."""
    expected_answer: Any = None
    """A reference answer for the GRM, or an object with `reference`, `rubric`, `criteria` or some of them. Anything
    else that is no text is shown to the GRM as JSON."""
    principle: Any = None
    """A grading note for the GRM, by the name that Gym's genrm_compare gives it. What is no text is shown as JSON."""
    criteria: Criteria = ()
    """What the rollout is scored by, one by one, as in `/v1/score`."""
    source: Reference = None
    """The task that it comes from, by which the configuration chooses criteria and principles."""


class VerifyReply(VerifyRequest):
    """The rollout with its reward (nemo_gym's BaseVerifyResponse)."""

    reward: float
    """Always finite. Where the judge has no reward, `failure.policy` decides it."""
    mask_sample: bool
    """Whether the reward rests on no vote, so that Gym leaves the sample out."""
    failure_kind: str | None
    """`judge_failed` where `mask_sample` is true."""
    grm: dict[str, float]
    """Values to log beside the reward; see grm_plugin.judging.fallback.log_values."""


def gym_router(service: Callable[[], Served]) -> APIRouter:
    """Both routes; `service` returns the service and is called for every request."""
    router, judging = APIRouter(), APIRouter(route_class=JudgingRoute)

    @router.post("/seed_session", summary="NeMo-Gym: a rollout begins (nothing to prepare)")
    async def seed_session() -> dict[str, str]:
        return {}

    @judging.post("/verify", summary="NeMo-Gym: the reward of one rollout", response_model=VerifyReply)
    async def verify(
        payload: VerifyRequest,
        request: Request,
        n: SamplesPerPrompt = None,
        request_id: RequestId = None,
        learn: Learn = True,
    ) -> Response:
        check_limits(payload, 1, service().config.service)
        judged = service().reward_sample(_sample(payload), n, request_id, learn)
        settled = await until_disconnect(request, judged)
        verdict = {
            "reward": settled.value,
            "mask_sample": settled.fallback,
            "failure_kind": JUDGE_FAILED if settled.fallback else None,
            "grm": settled.logs,
        }
        # json.dumps escapes to ASCII: the repeated fields may hold lone surrogates, which UTF-8 cannot hold.
        reply = json.dumps(_finite(payload.model_dump(exclude_unset=True) | verdict), allow_nan=False)
        return Response(reply, media_type="application/json")

    router.include_router(judging)
    return router


def _finite(value: Any) -> Any:
    """The value with None in place of every NaN and infinity, for which JSON has no notation."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sample(payload: VerifyRequest) -> Sample:
    params = payload.responses_create_params
    try:
        label = read_label(payload.expected_answer, payload.principle, payload.criteria, payload.source)
        return Sample(_conversation(params), to_response(payload.response.output), *label, _identity_of(params))
    except PromptError as error:
        raise WireError(f"NeMo-Gym rollout: {error}") from None


def _conversation(params: GymCreateParams) -> Conversation:
    system = [Message("system", text_of(params.instructions))] if params.instructions else []
    system += _terms(params.model_extra or {})
    if isinstance(params.input, str):
        return (*system, Message("user", text_of(params.input)))
    return (*system, *to_conversation(params.input))


def _terms(asked: dict[str, Any]) -> Iterator[Message]:
    """A prompt of the server, what the policy could call, and the form that its answer had to have."""
    text = asked.get("text")
    terms = {
        "prompt": asked.get("prompt"),
        "tools": asked.get("tools"),
        "tool_choice": None if asked.get("tool_choice") == "auto" else asked.get("tool_choice"),
        "format": text.get("format") if isinstance(text, dict) else None,
    }
    for name, value in terms.items():
        if not is_missing(value) and value != {"type": "text"}:
            yield Message("system", fenced("conversation item", json_text(value), name))


def _identity_of(params: GymCreateParams) -> str:
    sent = params.model_dump(exclude_unset=True)
    return identity_of({key: value for key, value in sent.items() if key not in OF_A_ROLLOUT})
