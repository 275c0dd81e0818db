"""A query parameter that a route does not have is an error that names it and those that there are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.factories import by_number, make_config, scoring

BODIES: dict[str, Any] = {
    "/get_reward": {"query": ["Two? 2"], "prompts": ["Two? "]},
    "/v1/score": {"groups": [{"prompt": "Two?", "responses": ["2"]}]},
    "/v1/sample": {"prompt": "Two?", "response": "2"},
    "/verify": {"responses_create_params": {"input": "Two?"}, "response": {"output": []}},
    "/seed_session": {},
}
KNOWN = {
    "/get_reward": "n, learn",
    "/v1/score": "none",
    "/v1/sample": "n, request_id, logs, learn",
    "/verify": "n, request_id, learn",
    "/seed_session": "none",
}


def test_every_route_that_takes_a_body_is_here() -> None:
    described = create_app(lambda: RewardService(make_config(), scoring(by_number))).openapi()
    assert {path for path, operations in described["paths"].items() if "post" in operations} == set(BODIES)


@pytest.mark.parametrize("path", sorted(BODIES))
@pytest.mark.parametrize("query", ["N=1", "nn=8", "n%20=8", "learn=false&Learn=false", "=1", "n_samples=4"])
async def test_an_unknown_parameter_is_named(client: httpx.AsyncClient, path: str, query: str) -> None:
    reply = await client.post(f"{path}?{query}", json=BODIES[path])
    assert reply.status_code == 422
    name = query.split("&")[-1].split("=")[0].replace("%20", " ")
    problem = next(item for item in reply.json()["detail"] if item["loc"] == ["query", name])
    assert problem["msg"] == f"unknown parameter; this route has {KNOWN[path]}"


@pytest.mark.parametrize("path", ["/get_reward", "/v1/sample", "/verify"])
async def test_a_parameter_that_comes_twice(client: httpx.AsyncClient, path: str) -> None:
    reply = await client.post(f"{path}?n=1&n=8", json=BODIES[path])
    assert reply.status_code == 422
    assert reply.json()["detail"] == [{"loc": ["query", "n"], "msg": "given twice", "type": "unknown_parameter"}]


@pytest.mark.parametrize("path", sorted(BODIES))
async def test_without_a_query_all_is_well(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path, json=BODIES[path])).status_code == 200


@pytest.mark.parametrize("path", ["/get_reward", "/v1/sample", "/verify"])
async def test_the_known_ones_are_taken(client: httpx.AsyncClient, path: str) -> None:
    further = "" if path == "/get_reward" else "&request_id=a"
    assert (await client.post(f"{path}?n=1&learn=false{further}", json=BODIES[path])).status_code == 200


async def test_a_long_name_is_cut(client: httpx.AsyncClient) -> None:
    reply = await client.post(f"/get_reward?{'x' * 5000}=1", json=BODIES["/get_reward"])
    assert reply.status_code == 422
    assert len(reply.text) < 500


async def test_pages_take_any_query(client: httpx.AsyncClient) -> None:
    assert (await client.get("/?anything=1")).status_code == 200
    assert (await client.get("/health?anything=1")).status_code == 200
