"""Calls that are refused: the service's log and its counters say so, and the log holds nothing of the calls."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.tell_refusals import names_of
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.token import Token
from support.factories import Scripted, by_number, make_config, scoring

SECRET = "plum brandy"
SAMPLE = {"prompt": "Two?", "response": "2"}
VERIFY = {"responses_create_params": {"input": "a"}, "response": {"output": []}}


def make_service(generator: Scripted | None = None, **overrides: Any) -> RewardService:
    return RewardService(make_config(sampling__k=1, **overrides), generator or scoring(by_number))


def client_of(service: RewardService, token: Token | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(lambda: service, lambda: token), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service", timeout=10)


@pytest.fixture
def service() -> RewardService:
    return make_service(service__max_body_mb=0.01, service__max_chars=100, service__max_samples=3)


@pytest.fixture
async def client(service: RewardService) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(service) as client:
        yield client


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name == "grm_plugin.serving.refusals"]
    assert all(record.levelno == logging.WARNING for record in records)
    return [record.getMessage() for record in records]


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        (
            "/get_reward",
            {"query": [SECRET], "prompts": ["Two? "]},
            422,
            "query.0: the prompt is no prefix of the query",
        ),
        ("/get_reward", {"query": [SECRET], "prompts": []}, 422, "prompts has 0 entries but query has 1"),
        ("/get_reward", {"query": SECRET, "prompts": []}, 422, "body.query: Input should be a valid list"),
        ("/get_reward", {SECRET: 1, "query": [], "prompts": []}, 422, "body.*: Extra inputs are not permitted"),
        ("/get_reward?n=0", {"query": [], "prompts": []}, 422, "query.n: Input should be greater than or equal to 1"),
        (f"/get_reward?n={SECRET}", {"query": [], "prompts": []}, 422, "query.n: Input should be a valid integer"),
        (f"/get_reward?{SECRET}=1", {"query": [], "prompts": []}, 422, "query.*: unknown parameter; this route has n"),
        (
            "/v1/sample",
            SAMPLE | {"prompt": [{"role": SECRET, "content": "a"}]},
            422,
            "a message has the role '...'; use",
        ),
        (
            "/v1/sample",
            SAMPLE | {"prompt": [{"role": "user", "content": [{"type": SECRET}]}]},
            422,
            "message parts of type '...' are not supported",
        ),
        ("/v1/sample", SAMPLE | {"response": SECRET * 50}, 422, "body.response: a text of 550 characters"),
        (
            "/v1/score",
            {"groups": [{"prompt": [{"role": "user", "content": SECRET}], "responses": ["a"]}]},
            422,
            "groups.0.prompt: it must be a text: give messages in the field messages",
        ),
        (
            "/v1/score",
            {"groups": [{"prompt": "a", "responses": [None]}]},
            422,
            "groups.0.responses.0: a response must be a text, a message or a list of messages, not NoneType",
        ),
        ("/v1/score", {"groups": [{"prompt": "a", "responses": ["a"] * 4}]}, 422, "4 responses in one request"),
        (
            "/v1/score",
            {"groups": [{"messages": [{"role": SECRET, "content": "a"}], "responses": ["a"]}]},
            422,
            "body.groups.0.messages.0: a message has the role '...'; use one of system, developer, user",
        ),
        ("/verify", VERIFY | {SECRET: {SECRET: SECRET * 50}}, 422, "body.*.*: a text of 550 characters"),
        ("/v1/sample", f'{{"prompt": "{SECRET}', 422, "JSON decode error"),
        ("/v1/sample", SECRET * 2000, 413, "its body is larger than service.max_body_mb"),
        (f"/{SECRET}", {}, 404, "Not Found"),
        ("/health", {}, 405, "Method Not Allowed"),
    ],
)
async def test_the_reason_is_told_without_any_text_of_the_call(
    service: RewardService,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    path: str,
    body: Any,
    status: int,
    reason: str,
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    reply = await client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert reply.status_code == status
    [line] = told(caplog)
    route = path.split("?")[0] if SECRET not in path.split("?")[0] else "another path"
    assert line.startswith(f"{route} was answered with {status}: ")
    assert reason in line
    assert SECRET not in caplog.text
    assert SECRET.split()[0] not in caplog.text
    assert service.info().counters[f"refused_{status}"] == 1
    assert f'grm_calls_refused_total{{status="{status}"}} 1.0' in service.metrics.exposition()[0].decode()


async def test_what_openrlhf_swallows_is_told(service: RewardService, caplog: pytest.LogCaptureFixture) -> None:
    """It prints "422 Unprocessable Entity" and asks five times: the service says what is wrong, once."""
    async with client_of(service) as client:
        for _ in range(5):
            await client.post("/get_reward?n=4", json={"query": ["x"], "prompts": ["y"]})
    [line] = told(caplog)
    assert line.startswith("/get_reward was answered with 422: query.0: the prompt is no prefix of the query")
    assert service.info().counters["refused_422"] == 5


async def test_a_service_that_is_full_or_stops_says_so(caplog: pytest.LogCaptureFixture) -> None:
    service = make_service()
    async with client_of(service) as client:
        await service.drain()
        assert (await client.post("/v1/sample", json=SAMPLE)).status_code == 503
    assert told(caplog) == ["/v1/sample was answered with 503: the service is stopping; try again in a second"]
    assert service.info().counters["refused_503"] == 1


async def test_a_missing_token_is_told(caplog: pytest.LogCaptureFixture) -> None:
    service = make_service()
    async with client_of(service, Token("apple")) as client:
        assert (await client.post("/v1/sample", json=SAMPLE)).status_code == 401
    assert told(caplog) == ["/v1/sample was answered with 401: the call carries no token, or another one"]


async def test_a_policy_that_raises_and_an_unexpected_error(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(Scripted(lambda prompt, sampling: []), failure__policy="raise")
    async with client_of(service) as client:
        assert (await client.post("/v1/sample?n=1", json=SAMPLE)).status_code == 502

        async def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError(SECRET)

        monkeypatch.setattr(service, "reward_sample", broken)
        assert (await client.post("/v1/sample?n=1", json=SAMPLE)).status_code == 500
    first, second = told(caplog)
    assert first.startswith("/v1/sample was answered with 502: 1 of 1 rewards of a group have no vote")
    assert second == "/v1/sample was answered with 500: Internal Server Error"
    assert SECRET not in caplog.text


async def test_an_error_that_may_quote_a_prompt_is_named_by_its_type(
    caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    template = tmp_path / "template.txt"
    template.write_text("{{ messages }} {{ 1 / (query | length - 4) }} {{ responses }} {{ reference }} {{ rubric }}")
    service = make_service(judge__template=str(template))
    async with client_of(service) as client:
        reply = await client.post("/v1/sample?n=1", json=SAMPLE)
    assert reply.status_code == 500
    assert told(caplog) == ["/v1/sample was answered with 500: PromptError; the reply says more"]


async def test_calls_that_are_answered_and_pages_are_not_told(
    service: RewardService, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise OSError("the GRM is gone")

    async with client_of(service) as client:
        assert (await client.post("/v1/sample?n=1", json=SAMPLE)).status_code == 200
        assert (await client.get("/traces/nowhere")).status_code == 404
    async with client_of(make_service(Scripted(hang))) as client:
        assert (await client.get("/ready")).status_code == 503
    assert not told(caplog)
    assert not [name for name in service.info().counters if name.startswith("refused_")]


async def test_each_kind_is_told_for_itself(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    calls = [client.post(path, json=body) for path in ("/v1/sample", "/get_reward") for body in ({}, {}) for _ in "ab"]
    await asyncio.gather(*calls)
    assert sorted(line.split(" ")[0] for line in told(caplog)) == ["/get_reward", "/v1/sample"]


def test_the_names_that_may_be_told_are_those_of_the_description() -> None:
    names = names_of(create_app(make_service))
    assert {"body", "query", "groups", "messages", "rubric", "n", "learn", "request_id", "prompts"} <= names
    assert SECRET not in names
