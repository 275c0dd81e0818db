"""The HTTP app of the service: all its routes, as one FastAPI app.

It runs under plain uvicorn (`without_ray.py`) and in an actor on Ray (`serving/ray/service_actor.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from grm_plugin import __version__
from grm_plugin.errors import EngineError, GRMError, GroupError, RewardError, ServiceBusy, WireError
from grm_plugin.serving.http.auth import RequireToken
from grm_plugin.serving.http.disconnects import until_disconnect
from grm_plugin.serving.http.docs_page import docs_router
from grm_plugin.serving.http.judging_route import JudgingRoute
from grm_plugin.serving.http.limits import LimitBody, check_limits
from grm_plugin.serving.http.nemo_gym import gym_router
from grm_plugin.serving.http.query import Learn, SamplesPerPrompt, refuse_unknown_parameters
from grm_plugin.serving.http.sample_route import sample_router
from grm_plugin.serving.http.served import Served
from grm_plugin.serving.http.shared_look import SharedLook
from grm_plugin.serving.http.tell_refusals import REASON, TellRefusals, names_of, reason_of, reason_of_fields
from grm_plugin.serving.http.unexpected_errors import HideErrorText
from grm_plugin.trace.page_routes import Source, page_router
from grm_plugin.wire.ready import Ready
from grm_plugin.wire.schemas import (
    GetRewardReply,
    GetRewardRequest,
    Health,
    Info,
    Invalid,
    Readiness,
    Refusal,
    ScoreReply,
    ScoreRequest,
)
from grm_plugin.wire.token import Token

# Clients repeat a request that is answered with 503, but not one answered with 502: the group has been judged already.
_STATUS: dict[type[GRMError], int] = {
    WireError: 422,
    GroupError: 422,
    ServiceBusy: 503,
    RewardError: 502,
    EngineError: 502,
}
RETRY_AFTER_S = 1
"""When a client that was refused with 503 should ask again: the value of the Retry-After header."""

_UNAUTHORISED: dict[int | str, dict[str, Any]] = {
    401: {"model": Refusal, "description": "The service has a token, and the request does not carry it."},
}
_REFUSED: dict[int | str, dict[str, Any]] = _UNAUTHORISED | {
    400: {"model": Refusal, "description": "The body cannot be read."},
    408: {"model": Refusal, "description": "The body did not arrive within `failure.deadline_s`."},
    413: {"model": Refusal, "description": "The body is larger than `service.max_body_mb`."},
    422: {"model": Invalid, "description": "A field is wrong, or larger than the `service` section allows."},
    502: {"model": Refusal, "description": "The GRM gave no vote, and `failure.policy` is `raise`."},
    503: {"model": Refusal, "description": "Too busy; Retry-After says when to ask again."},
}


def create_app(service: Callable[[], Served], token: Callable[[], Token | None] = lambda: None) -> FastAPI:
    """The FastAPI app of a service.

    Args:
        service: returns the service. Called for every request.
        token: returns what requests must carry to any path but /health and /readyz; None lets all requests in.
    """
    app = FastAPI(
        docs_url=None,  # FastAPI's own pages load their scripts from the internet; `docs_page.py` has ours
        redoc_url=None,
        title="grm_plugin",
        version=__version__,
        summary="Rewards from a generative reward model.",
        description="`POST /get_reward` is OpenRLHF's remote-reward call; `POST /v1/score` takes whole groups, "
        "`POST /v1/sample` one sample; `POST /verify` is NeMo-Gym's call. A service with a token wants it in every "
        "request but `/health` and `/readyz`, as `Authorization: Bearer TOKEN` or as the password of HTTP Basic.",
    )
    # A request passes through them from the last one added to the first one.
    app.add_middleware(LimitBody, config=lambda: service().config)
    app.add_middleware(RequireToken, token=token)
    app.add_middleware(HideErrorText)
    app.add_middleware(TellRefusals, refusals=lambda: service().refusals)
    known_parameters = [Depends(refuse_unknown_parameters)]
    judging = APIRouter(route_class=JudgingRoute, responses=_REFUSED, dependencies=known_parameters)

    @judging.post("/get_reward", summary="Rewards of single samples, grouped by prompt")
    async def get_reward(
        payload: GetRewardRequest, request: Request, n: SamplesPerPrompt = None, learn: Learn = True
    ) -> GetRewardReply:
        check_limits(payload, len(payload.query), service().config.service)
        return await until_disconnect(request, service().get_reward(payload, n, learn))

    @judging.post("/v1/score", summary="Rewards, votes and critiques of whole groups")
    async def score(payload: ScoreRequest, request: Request) -> ScoreReply:
        check_limits(payload, sum(len(group.responses) for group in payload.groups), service().config.service)
        return await until_disconnect(request, service().judge_groups(payload))

    app.include_router(judging)
    app.include_router(sample_router(service), responses=_REFUSED, dependencies=known_parameters)
    app.include_router(gym_router(service), responses=_REFUSED, dependencies=known_parameters)
    app.include_router(docs_router())
    app.include_router(page_router(lambda: _source(service())))

    @app.get("/health", summary="Whether the process answers")
    async def health() -> Health:
        return Health()

    not_ready: dict[int | str, dict[str, Any]] = {
        503: {"model": Ready, "description": "The GRM or the meta RM does not answer."}
    }

    @app.get("/ready", summary="Whether the GRM and the meta RM answer", responses=_UNAUTHORISED | not_ready)
    async def ready(response: Response) -> Ready:
        problem = await service().problem()
        response.status_code = 503 if problem else 200
        return Ready.of(service().config, problem, service().refused)

    look = SharedLook(lambda: service().problem())

    @app.get(
        "/readyz",
        summary="The same for probes: it takes no token, and says no more than yes or no",
        responses={503: {"model": Readiness, "description": "The GRM or the meta RM does not answer."}},
    )
    async def readyz(response: Response) -> Readiness:
        is_ready = not await look.problem()
        response.status_code = 200 if is_ready else 503
        return Readiness(ready=is_ready)

    @app.get("/metrics", include_in_schema=False)  # not in the OpenAPI description: its answer is no JSON
    async def metrics(request: Request) -> Response:
        content, media_type = await service().exposition(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    @app.get("/info", summary="What runs here and what it has done", responses=_UNAUTHORISED)
    async def info() -> Info:
        return await service().whole_info()

    @app.exception_handler(GRMError)
    async def on_error(request: Request, error: GRMError) -> Response:
        request.scope[REASON] = reason_of(error)
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, ServiceBusy) else None
        return _refusal(status, str(error), headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        # FastAPI's own reply would repeat the request's content, which may be huge and is not to be shown.
        problems = [
            {"loc": item["loc"], "msg": item["msg"].removeprefix("Value error, "), "type": item["type"]}
            for item in error.errors()
        ]
        request.scope[REASON] = reason_of_fields(problems, names_of(app))
        return _refusal(422, problems)

    return app


def _refusal(status: int, detail: object, headers: Mapping[str, str] | None = None) -> Response:
    # json.dumps escapes to ASCII: `detail` may name a key of the request with a lone surrogate, no character of UTF-8.
    return Response(json.dumps({"detail": detail}), status, headers, media_type="application/json")


def _source(service: Served) -> Source:
    """The traces that the service's page shows."""
    return Source(service.traces.path, service.traces.status) if service.traces else Source(None)
