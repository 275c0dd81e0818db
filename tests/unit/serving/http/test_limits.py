"""How large a request may be, and that its texts are written to no log."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from grm_plugin.client import Client
from grm_plugin.config import ServiceConfig
from grm_plugin.errors import EngineError, WireError
from grm_plugin.serving.http import limits
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.limits import MAX_DEPTH
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import (
    Scripted,
    by_number,
    critique_text,
    live,
    make_config,
    make_group,
    responses_shown,
    scoring,
)

PATHS = ("/get_reward", "/v1/score", "/v1/sample", "/verify")


def make_app(generator: Any = None, **overrides: Any) -> Any:
    service = RewardService(make_config(sampling__k=2, **overrides), generator or scoring(by_number))
    return create_app(lambda: service)


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service", timeout=10)


def openrlhf(*responses: str, prompt: str = "Q: ") -> dict[str, Any]:
    return {"query": [prompt + response for response in responses], "prompts": [prompt] * len(responses)}


def rollout(response: str, **rest: Any) -> dict[str, Any]:
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": response}]}]
    return {"responses_create_params": {"input": "Q"}, "response": {"output": output}, **rest}


def body_of(path: str, response: str = "7") -> dict[str, Any]:
    return {
        "/get_reward": openrlhf(response),
        "/v1/score": {"groups": [{"prompt": "Q", "responses": [response]}]},
        "/v1/sample": {"prompt": "Q", "response": response},
        "/verify": rollout(response),
    }[path]


async def chunks(total: float) -> AsyncIterator[bytes]:
    """A body without Content-Length."""
    sent = 0
    while sent < total:
        yield b" " * 65_536
        sent += 65_536
        await asyncio.sleep(0)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_says_it_is_too_large_does_not_reach_the_app(path: str) -> None:
    async with client_of(make_app(service__max_body_mb=1)) as client:
        headers = {"Content-Length": str(2**20 + 1), "Content-Type": "application/json"}
        reply = await client.post(path, content=chunks(2**21), headers=headers)
    assert reply.status_code == 413
    assert "service.max_body_mb (1 MiB)" in reply.json()["detail"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_does_not_say_ends_at_the_limit(path: str) -> None:
    async with client_of(make_app(service__max_body_mb=1)) as client:
        for size, status in ((2**20, 422), (2**20 + 1, 413)):  # 422: white space is no JSON
            reply = await client.post(path, content=chunks(size), headers={"Content-Type": "application/json"})
            assert reply.status_code == status
        assert (await client.post(path, json=body_of(path))).status_code == 200


async def test_an_endless_body_is_not_kept_and_not_listened_to_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_S", 0.2)
    tracemalloc.start()
    try:
        async with client_of(make_app(service__max_body_mb=1)) as client:
            headers = {"Content-Type": "application/json"}
            reply = await client.post("/get_reward", content=chunks(math.inf), headers=headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reply.status_code == 413
    assert peak < 8 * 2**20


@pytest.mark.parametrize("length", ["-1", "many", "9" * 5000, ""])
async def test_a_content_length_that_is_none_changes_nothing(length: str) -> None:
    async with client_of(make_app(service__max_body_mb=0.01)) as client:
        reply = await client.post("/get_reward", content=b" " * 20_000, headers={"Content-Length": length})
    assert reply.status_code == 413


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    app = make_app(failure__deadline_s=0.2, group__wait_s=0)
    async with client_of(app) as client:
        reply = await client.post("/get_reward", content=stalled(), headers={"Content-Type": "application/json"})
    assert reply.status_code == 408
    assert "failure.deadline_s" in reply.json()["detail"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_over_a_socket_the_sender_learns_why(chunked: bool) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    with live(make_app(service__max_body_mb=1)) as url:
        async with httpx.AsyncClient(timeout=10) as client:
            body = parts() if chunked else b" " * 2**22
            headers = {"Content-Type": "application/json"}
            reply = await client.post(f"{url}/get_reward", content=body, headers=headers)
            assert reply.status_code == 413
            assert (await client.post(f"{url}/get_reward", json=openrlhf("7"))).status_code == 200
        async with Client(url) as ours:
            with pytest.raises(WireError, match=r"service\.max_body_mb"):
                await ours.ajudge([make_group("7 " * 2**20)])


@pytest.mark.parametrize(
    ("path", "body", "loc"),
    [
        ("/get_reward", openrlhf("1", "x" * 101), ["body", "query", 1]),
        ("/get_reward", {"query": ["7"], "prompts": [""], "labels": ["x" * 101]}, ["body", "labels", 0]),
        ("/get_reward", {"query": ["7"], "prompts": [""], "labels": [["x" * 101]]}, ["body", "labels", 0]),
        (
            "/v1/score",
            {"groups": [{"prompt": "Q", "responses": ["1"]}, {"prompt": "Q", "responses": ["1", "x" * 101]}]},
            ["body", "groups", 1, "responses", 1],
        ),
        (
            "/v1/score",
            {"groups": [{"messages": [{"role": "user", "content": "x" * 101}], "responses": ["1"]}]},
            ["body", "groups", 0, "messages", 0, "content"],
        ),
        (
            "/v1/score",
            {"groups": [{"prompt": "Q", "responses": ["1"], "rubric": "x" * 101}]},
            ["body", "groups", 0, "rubric"],
        ),
        ("/v1/sample", {"prompt": "Q", "response": "x" * 101}, ["body", "response"]),
        (
            "/v1/sample",
            {"prompt": [{"role": "user", "content": "x" * 101}], "response": ""},
            ["body", "prompt", 0, "content"],
        ),
        ("/v1/sample", {"prompt": "Q", "response": "1", "label": {"a": ["x" * 101]}}, ["body", "label", "a", 0]),
        ("/v1/sample", {"prompt": "Q", "response": "1", "label": {"x" * 101: 1}}, ["body", "label", "(key)"]),
        ("/verify", rollout("x" * 101), ["body", "response", "output", 0, "content", 0, "text"]),
        ("/verify", rollout("1", task="x" * 101), ["body", "task"]),
    ],
)
async def test_a_text_that_is_too_long_is_named(path: str, body: dict[str, Any], loc: list[str | int]) -> None:
    async with client_of(make_app(service__max_chars=100)) as client:
        reply = await client.post(path, json=body)
    assert reply.status_code == 422
    [error] = reply.json()["detail"]
    assert error["loc"] == loc
    assert "service.max_chars allows 100" in error["msg"]
    assert "xxx" not in error["msg"]


@pytest.mark.parametrize("path", PATHS)
async def test_texts_of_the_allowed_length_pass(path: str) -> None:
    async with client_of(make_app(service__max_chars=103)) as client:
        assert (await client.post(path, json=body_of(path, "7" + " " * 99))).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/get_reward", openrlhf(*"1234")),
        ("/v1/score", {"groups": [{"prompt": "Q", "responses": ["1", "2"]}] * 2}),
    ],
)
async def test_too_many_samples_are_refused(path: str, body: dict[str, Any]) -> None:
    async with client_of(make_app(service__max_samples=3)) as client:
        reply = await client.post(path, json=body)
    assert reply.status_code == 422
    assert "4 responses in one request, service.max_samples allows 3" in reply.json()["detail"][0]["msg"]


async def test_a_group_has_a_limit_of_its_own() -> None:
    body = {"groups": [{"prompt": "Q", "responses": ["1"] * 4097}]}
    async with client_of(make_app()) as client:
        reply = await client.post("/v1/score", json=body)
    assert (reply.status_code, reply.json()["detail"][0]["loc"]) == (422, ["body", "groups", 0, "responses"])


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500])
@pytest.mark.parametrize("path", ["/get_reward", "/v1/sample", "/verify"])
async def test_what_is_nested_too_deep_is_refused(path: str, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = json.dumps(body_of(path) | {"labels" if path == "/get_reward" else "label": ["HOLE"]})
    async with client_of(make_app()) as client:
        reply = await client.post(
            path, content=body.replace('"HOLE"', deep), headers={"Content-Type": "application/json"}
        )
    # get_reward turns a label that is no text into JSON before anything looks at its depth.
    assert reply.status_code == (200 if path == "/get_reward" else 422)


async def test_a_real_batch_passes_the_defaults() -> None:
    """Four prompts with 16 responses of 32,768 tokens each, at six characters a token, and a long system prompt."""
    response = "7 words " * (32_768 * 6 // 8)
    groups = [
        {
            "messages": [{"role": "system", "content": "s" * 100_000}, {"role": "user", "content": f"Question {i}"}],
            "responses": [response] * 16,
        }
        for i in range(4)
    ]
    async with client_of(make_app()) as client:
        reply = await client.post("/v1/score", json={"groups": groups})
    assert reply.status_code == 200
    assert ServiceConfig().max_body_mb * 2**20 > 512 * len(response), "512 such responses fit into one request"


SENTINEL = "XYZZY-the-magic-word-7431"
"""Stands in prompts, responses, labels and critiques; no log may show it."""


def quoting(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise EngineError(f"400: you sent {prompt.messages[-1].content} and {json.dumps(prompt.messages[-1].content)}")


def crashing(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    raise RuntimeError(f"cannot tokenize {prompt.messages[-1].content!r}")


def repeating(prompt: Prompt, sampling: Sampling) -> list[Completion]:
    scores = [5] * len(responses_shown(prompt))
    return [Completion(prompt.messages[-1].content), Completion(f"{SENTINEL}\n{critique_text(scores)}")]


class QuotingMetaRM:
    async def rate(self, conversations: Any) -> list[float]:
        raise EngineError(f"the meta RM chokes on {conversations[0][-1].content}")


@pytest.mark.parametrize("reply", [repeating, quoting, crashing], ids=["success", "engine error", "engine crash"])
@pytest.mark.parametrize("policy", ["group_mean", "raise"])
async def test_no_log_shows_what_was_judged(
    reply: Any, policy: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    config = make_config(sampling__k=2, failure__policy=policy)
    service = RewardService(config, Scripted(reply), QuotingMetaRM())
    app = create_app(lambda: service)
    with live(app) as url:
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            for path in PATHS:
                answer = await client.post(path, json=body_of(path, f"7 {SENTINEL}"))
                assert answer.status_code in (200, 502)
            # Requests that are refused: neither the log nor the reply repeats their texts.
            for path, wrong in (
                ("/get_reward", {"query": [SENTINEL], "prompts": [f"{SENTINEL}?"]}),
                ("/get_reward", openrlhf(SENTINEL) | {"labels": [SENTINEL] * 2}),
                ("/v1/score", {"groups": [{"messages": [{"role": SENTINEL, "content": ""}], "responses": [SENTINEL]}]}),
                ("/v1/score", {"groups": [{"prompt": SENTINEL, "responses": SENTINEL}]}),
                (
                    "/v1/sample",
                    {"prompt": [{"role": "user", "content": [{"type": "image", "x": SENTINEL}]}], "response": ""},
                ),
                ("/verify", rollout(SENTINEL) | {"responses_create_params": SENTINEL}),
                ("/v1/sample", {"prompt": [{"role": {"a": SENTINEL}, "content": ""}], "response": SENTINEL}),
            ):
                answer = await client.post(path, json=wrong)
                assert answer.status_code == 422
                assert SENTINEL not in answer.text
    out, err = capfd.readouterr()
    assert SENTINEL not in caplog.text + out + err
    if reply is not repeating:
        assert "the GRM engine failed" in caplog.text, "what happened is still told"
    else:
        assert "the meta RM failed" in caplog.text


async def test_the_judgement_tells_what_the_log_does_not(caplog: pytest.LogCaptureFixture) -> None:
    def refusing(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise EngineError(f"the model takes 4096 tokens, not 5000: {SENTINEL}")

    service = RewardService(make_config(), Scripted(refusing))
    async with client_of(create_app(lambda: service)) as client:
        answer = await client.post("/v1/score", json=body_of("/v1/score", SENTINEL))
    [judgement] = answer.json()["judgements"]
    assert judgement["unparsed"][0]["detail"].startswith("EngineError: the model takes 4096 tokens, not 5000")
    assert "the GRM engine failed (EngineError)" in caplog.text
    assert SENTINEL not in caplog.text


async def test_what_nobody_expected_is_told_without_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError(SENTINEL)

    service = RewardService(make_config(), scoring(by_number))
    monkeypatch.setattr(service, "judge_groups", broken)
    with live(create_app(lambda: service)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            answer = await client.post("/v1/score", json=body_of("/v1/score", SENTINEL))
    assert (answer.status_code, answer.json()) == (500, {"detail": "an error of the service (KeyError); see its log"})
    out, err = capfd.readouterr()
    assert SENTINEL not in caplog.text + out + err
    assert "KeyError on /v1/score" in caplog.text
    assert "in broken" in caplog.text, "where it happened is still told"
