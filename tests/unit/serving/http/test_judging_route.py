"""A call that the quick reading does not take is read as before: its answer is the same, whatever is odd about it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

SAMPLE: dict[str, Any] = {"query": ["Two? 2"], "prompts": ["Two? "], "labels": [""]}
GROUP: dict[str, Any] = {"groups": [{"prompt": "Two?", "responses": ["2", "7"]}]}


async def post(client: httpx.AsyncClient, body: bytes, kind: str | None = "application/json") -> httpx.Response:
    return await client.post("/get_reward?n=1", content=body, headers={"Content-Type": kind} if kind else {})


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(SAMPLE | {"query": ["Two? 2\ud800"]}).encode(),  # a lone surrogate: pydantic's own JSON refuses it
        b"\xef\xbb\xbf" + json.dumps(SAMPLE).encode(),  # a byte order mark
        json.dumps(SAMPLE).encode("utf-16"),
        json.dumps(SAMPLE | {"labels": [float("nan")]}).encode(),
        json.dumps(SAMPLE | {"labels": [{"reference": "2", "rubric": "as short as can be"}]}).encode(),
        json.dumps(SAMPLE | {"n": 1}, indent=4).encode(),
    ],
)
async def test_every_way_to_write_a_call_is_read(client: httpx.AsyncClient, body: bytes) -> None:
    reply = await post(client, body)
    assert (reply.status_code, len(reply.json()["rewards"])) == (200, 1)
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
async def test_every_kind_of_json_is_read(client: httpx.AsyncClient, kind: str) -> None:
    assert (await post(client, json.dumps(SAMPLE).encode(), kind)).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "problem"),
    [
        (b'{"query": ', "application/json", 422, "JSON decode error"),
        (b"", "application/json", 422, "Field required"),
        (json.dumps(SAMPLE).encode(), "text/plain", 422, "Input should be a valid dictionary"),
        (json.dumps(SAMPLE | {"more": 1}).encode(), "application/json", 422, "Extra inputs are not permitted"),
        (json.dumps(SAMPLE | {"prompts": []}).encode(), "application/json", 422, "prompts has 0 entries but query has"),
        (b'{"query": ["\xff"], "prompts": [""]}', "application/json", 400, "There was an error parsing the body"),
        (b"[" * 100_000, "application/json", 400, "There was an error parsing the body"),
    ],
)
async def test_what_is_wrong_is_told_in_the_words_of_fastapi(
    client: httpx.AsyncClient, body: bytes, kind: str, status: int, problem: str
) -> None:
    reply = await post(client, body, kind)
    assert reply.status_code == status
    assert problem in reply.text


@pytest.mark.parametrize("query", ["n=many", "n=0", "n=", "learn=perhaps", "n=1&n=1", "m=1"])
async def test_a_parameter_that_is_wrong_is_told(client: httpx.AsyncClient, query: str) -> None:
    reply = await client.post(f"/get_reward?{query}", json=SAMPLE)
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", query.partition("=")[0]]


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get("/get_reward")).status_code == 405


@pytest.mark.parametrize(("said", "votes"), [({}, True), ({"detail": True}, True), ({"detail": False}, False)])
async def test_critiques_come_unless_the_caller_does_not_want_them(
    client: httpx.AsyncClient, said: dict[str, bool], votes: bool
) -> None:
    reply = await client.post("/v1/score", json=GROUP | said)
    [judgement] = reply.json()["judgements"]
    assert [len(judgement["rewards"]), bool(judgement["critiques"])] == [2, votes]
    assert all(reward["votes_parsed"] for reward in judgement["rewards"]), "they are counted all the same"
