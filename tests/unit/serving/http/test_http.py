import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from grm_plugin import __version__
from grm_plugin.errors import EngineError, EngineRefusal
from grm_plugin.judging.fallback import LOG_KEYS
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import Scripted, by_number, completions, live, make_config, responses_shown, scoring, until

PROMPT = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"


def openrlhf(*responses: str, **rest: Any) -> dict[str, Any]:
    """What OpenRLHF posts."""
    queries = [f"{PROMPT}{response}<|im_end|>" for response in responses]
    return {"query": queries, "prompts": [PROMPT] * len(responses), "labels": [""] * len(responses), **rest}


def groups(*responses: str, **prompt: Any) -> dict[str, Any]:
    return {"groups": [{"responses": list(responses), **(prompt or {"prompt": PROMPT})}]}


def make_service(generator: Scripted | None = None, **overrides: Any) -> RewardService:
    return RewardService(make_config(sampling__k=2, **overrides), generator or scoring(by_number))


def client_of(service: RewardService) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(lambda: service), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://service", timeout=10)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(make_service()) as client:
        yield client


async def test_openrlhfs_call(client: httpx.AsyncClient) -> None:
    replies = await asyncio.gather(*(client.post("/get_reward?n=3", json=openrlhf(each)) for each in ("1", "4", "10")))
    assert [reply.status_code for reply in replies] == [200] * 3
    assert [reply.json()["rewards"] for reply in replies] == [[0], [pytest.approx(1 / 3)], [1]]
    assert set(replies[0].json()) == {"rewards", "scores", "extra_logs"}
    assert tuple(replies[0].json()["extra_logs"]) == LOG_KEYS


async def test_openrlhfs_empty_call(client: httpx.AsyncClient) -> None:
    reply = await client.post("/get_reward", json=openrlhf())
    assert (reply.status_code, reply.json()["rewards"], reply.json()["scores"]) == (200, [], [])
    assert reply.json()["extra_logs"] == {key: [] for key in LOG_KEYS}


@pytest.mark.parametrize(
    ("query", "payload", "configured", "expected"), [("?n=3", 2, 1, 3), ("", 2, 1, 2), ("", None, 3, 3)]
)
async def test_where_n_comes_from(query: str, payload: int | None, configured: int, expected: int) -> None:
    generator = scoring(by_number)
    body = openrlhf(*"12345"[:expected]) | ({} if payload is None else {"n": payload})
    async with client_of(make_service(generator, group__n=configured)) as client:
        assert (await client.post(f"/get_reward{query}", json=body)).status_code == 200
    assert {len(prompt.order) for prompt, _ in generator.calls} == {expected}


@pytest.mark.parametrize(
    "prompt",
    [{"prompt": PROMPT}, {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}],
    ids=["prompt", "messages"],
)
async def test_scoring_a_group(prompt: dict[str, Any]) -> None:
    generator = scoring(by_number)
    async with client_of(make_service(generator)) as client:
        reply = await client.post("/v1/score", json=groups("3", "10", reference="4", rubric="be kind", **prompt))
    assert reply.status_code == 200
    (judgement,) = reply.json()["judgements"]
    assert [reward["mean"] for reward in judgement["rewards"]] == [3, 10]
    assert len(judgement["critiques"]) == 2
    text = generator.calls[0][0].messages[0].content
    assert all(part in text for part in ("[user]\nWhat is 2 + 2?", "be kind", "Reference answer"))


async def test_a_missing_vote_is_null_on_the_wire() -> None:
    async with client_of(make_service(Scripted(lambda prompt, sampling: []))) as client:
        ((judgement),) = (await client.post("/v1/score", json=groups("3"))).json()["judgements"]
    (reward,) = judgement["rewards"]
    assert (reward["value"], reward["mean"], reward["meta"], reward["status"]) == (None, None, None, "no_votes")
    assert (reward["settled"], reward["unit"]) == (0.5, 0.5)
    assert judgement["unparsed"][0]["reason"] == "engine"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/get_reward", {"prompts": [], "labels": []}, ["body", "query"]),
        ("/get_reward", openrlhf("1") | {"query": "text"}, ["body", "query"]),
        ("/get_reward", openrlhf("1") | {"query": [7]}, ["body", "query", 0]),
        ("/get_reward", openrlhf("1", "2") | {"prompts": ["a", None]}, ["body", "prompts", 1]),
        ("/get_reward", openrlhf("1") | {"labels": "x"}, ["body", "labels"]),
        ("/get_reward", openrlhf("1") | {"n": 0}, ["body", "n"]),
        ("/get_reward", openrlhf("1") | {"reward": 1}, ["body", "reward"]),
        ("/get_reward?n=0", openrlhf("1"), ["query", "n"]),
        ("/get_reward?n=many", openrlhf("1"), ["query", "n"]),
        ("/v1/score", {}, ["body", "groups"]),
        ("/v1/score", groups("1") | {"groups": {}}, ["body", "groups"]),
        ("/v1/score", groups(), ["body", "groups", 0, "responses"]),
        ("/v1/score", groups("1", messages=[{"role": "user"}]), ["body", "groups", 0, "messages", 0]),
        (
            "/v1/score",
            groups("1", messages=[{"role": "x", "content": ""}]),
            ["body", "groups", 0, "messages", 0],
        ),
    ],
)
async def test_a_wrong_type_is_a_422_that_names_the_field(
    client: httpx.AsyncClient, path: str, body: Any, field: list[str | int]
) -> None:
    reply = await client.post(path, json=body)
    assert reply.status_code == 422
    assert [error["loc"] for error in reply.json()["detail"]] == [field]


@pytest.mark.parametrize("name", ["prompts", "labels"])
async def test_lists_of_different_length(client: httpx.AsyncClient, name: str) -> None:
    reply = await client.post("/get_reward", json=openrlhf("1", "2") | {name: ["a"]})
    assert reply.status_code == 422
    assert f"{name} has 1 entries but query has 2" in reply.text


async def test_a_prompt_that_is_no_prefix_is_a_422_that_names_the_query(client: httpx.AsyncClient) -> None:
    body = openrlhf("1", "2")
    body["prompts"] = ["a different prompt", "another"]
    reply = await client.post("/get_reward?n=2", json=body)
    assert reply.status_code == 422
    assert "query.0: the prompt is no prefix" in reply.json()["detail"]


async def test_a_sample_that_cannot_be_read_costs_itself(client: httpx.AsyncClient) -> None:
    body = openrlhf("1", "10", "5", "4")
    body["query"][2] = "another query"
    reply = await client.post("/get_reward?n=4", json=body)
    assert reply.status_code == 200
    assert reply.json()["rewards"] == pytest.approx([0, 1, 4 / 9, 1 / 3])
    assert reply.json()["extra_logs"]["grm_fallback"] == [0, 0, 1, 0]
    assert (await client.get("/info")).json()["counters"]["unreadable"] == 1


@pytest.mark.parametrize("path", ["/get_reward", "/v1/score"])
@pytest.mark.parametrize("body", [b'{"query": ["\xff\xfe"]}', b"\xff\xfe\x00", b"{", b"", b"[]", b"null"])
async def test_a_body_that_is_no_request(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    reply = await client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code in (400, 422)
    assert reply.json()["detail"]


@pytest.mark.parametrize("body", [b'{"query": "\\ud800"}', b'{"\\udfff": 1}'])
async def test_a_refusal_does_not_choke_on_what_it_refuses(client: httpx.AsyncClient, body: bytes) -> None:
    for path in ("/get_reward", "/v1/score"):
        reply = await client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 422
        assert [set(error) for error in reply.json()["detail"]] == [{"loc", "msg", "type"}] * len(
            reply.json()["detail"]
        )


async def test_lone_surrogates_in_json(client: httpx.AsyncClient) -> None:
    body = b'{"query": ["Q?7 \\ud800"], "prompts": ["Q?"], "labels": ["\\udfff"]}'
    reply = await client.post("/get_reward", content=body, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["extra_logs"]["grm_mean"]) == (200, [7])


async def test_a_response_of_200_000_characters_is_cut_and_counted(client: httpx.AsyncClient) -> None:
    reply = await client.post("/get_reward", json=openrlhf("8" + "x" * 199_999))
    assert reply.json()["extra_logs"]["grm_cut_chars"] == [200_000 - make_config().judge.max_response_chars]
    assert reply.json()["extra_logs"]["grm_mean"] == [8]
    assert (await client.get("/info")).json()["counters"]["cut_responses"] == 1


async def test_criteria_that_this_grm_cannot_score_are_a_422_which_says_so() -> None:
    criteria = [{"name": "right", "text": "Is it right?"}]
    bodies = {
        "/get_reward?n=1": openrlhf("4") | {"labels": [{"criteria": criteria}]},
        "/v1/sample?n=1": {"prompt": PROMPT, "response": "4", "criteria": criteria},
        "/v1/score": groups("4", "5", prompt=PROMPT, criteria=criteria),
    }
    async with client_of(make_service(judge__answer="verdict", judge__list_size=2)) as client:
        for path, body in bodies.items():
            reply = await client.post(path, json=body)
            assert (reply.status_code, "gives no scores for criteria" in reply.text) == (422, True), path


async def test_policy_raise_is_a_502_which_no_client_repeats() -> None:
    service = make_service(Scripted(lambda prompt, sampling: []), failure__policy="raise")
    async with client_of(service) as client:
        for path, body in (("/get_reward", openrlhf("1")), ("/v1/score", groups("1"))):
            reply = await client.post(path, json=body)
            assert reply.status_code == 502
            assert "failure.policy is 'raise'" in reply.json()["detail"]
            assert "Retry-After" not in reply.headers, "asking again at once would only repeat the work"


class Gate:
    """A GRM that answers once it is opened, from whichever thread."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.generator = Scripted(self._reply)

    async def _reply(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        while not self.open.is_set():  # noqa: ASYNC110 - opened from another thread
            await asyncio.sleep(0.005)
        return completions(*[[by_number(response) for response in responses_shown(prompt)]] * sampling.n)


async def counter(client: httpx.AsyncClient, name: str, value: int) -> None:
    async with asyncio.timeout(20):
        while (await client.get("/info")).json()["counters"][name] != value:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_full_service_is_a_503_with_retry_after() -> None:
    gate = Gate()
    async with client_of(make_service(gate.generator, service__max_waiting=1)) as client:
        running = asyncio.create_task(client.post("/get_reward", json=openrlhf("1")))
        await counter(client, "waiting", 1)
        refused = await client.post("/get_reward", json=openrlhf("2"))
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "service.max_waiting" in refused.json()["detail"]
        gate.open.set()
        assert (await running).status_code == 200
        assert (await client.post("/get_reward", json=openrlhf("2"))).status_code == 200


def has_lost_a_caller(service: RewardService) -> bool:
    """Until the service has noticed that a caller is gone, an equal request is that of an equal sibling."""
    return any(flight.waiters == 0 for flights in service._replies._flights.values() for flight in flights)


async def test_a_retry_after_a_dropped_connection_attaches() -> None:
    gate = Gate()
    service = make_service(gate.generator)
    with live(create_app(lambda: service)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            sibling = asyncio.create_task(client.post("/get_reward?n=2", json=openrlhf("9")))
            await counter(client, "waiting", 1)
            dropped = asyncio.create_task(client.post("/get_reward?n=2", json=openrlhf("4")))
            await counter(client, "waiting", 2)
            dropped.cancel()
            await asyncio.wait([dropped])
            await until(lambda: has_lost_a_caller(service))
            retry = asyncio.create_task(client.post("/get_reward?n=2", json=openrlhf("4")))
            await counter(client, "attached", 1)  # the work goes on without its caller
            gate.open.set()
            assert (await retry).json()["extra_logs"]["grm_mean"] == [4]
            assert (await sibling).json()["extra_logs"]["grm_mean"] == [9]
            counters = (await client.get("/info")).json()["counters"]
    assert (counters["samples"], counters["groups"], counters["waiting"]) == (2, 1, 0)


async def test_a_dropped_score_call_stops_its_engine_work() -> None:
    gate = Gate()
    service = make_service(gate.generator)
    with live(create_app(lambda: service)) as url:
        async with httpx.AsyncClient(base_url=url, timeout=10) as client:
            dropped = asyncio.create_task(client.post("/v1/score", json=groups("4", "5")))
            await until(lambda: len(gate.generator.calls) == 2)
            dropped.cancel()
            await counter(client, "waiting", 0)
    assert gate.generator.cancelled == len(gate.generator.calls) == 2


async def test_health_ready_and_info(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"status": "ok"}
    ready = await client.get("/ready")
    told = {"deadline_s": 170.0, "policy": "group_mean", "constant": 0.5, "criteria": {}, "method": "unit"}
    assert (ready.status_code, ready.json()) == (
        200,
        {"ready": True, "problem": "", "refused": False, "max_concurrency": 256} | told,
    )
    await client.post("/get_reward", json=openrlhf("1"))
    info = (await client.get("/info")).json()
    counters = info.pop("counters")
    assert info.pop("pid") == os.getpid()
    assert set(info.pop("fingerprint")) >= {"engine", "prompt", "sampling", "judge", "normalize", "failure"}
    assert info == {"version": __version__, "model": "fake", "k": 2, "k_meta": 2, "list_size": 4, "max_waiting": 32_768}
    assert (counters["requests"], counters["votes_kept"]) == (1, 2)


async def test_not_ready_says_why_while_healthy() -> None:
    def dead(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise EngineError("no replica is alive; look at `ray status`")

    async with client_of(make_service(Scripted(dead))) as client:
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert "ray status" in ready.json()["problem"]
        assert (await client.get("/health")).status_code == 200


async def test_a_grm_server_that_refuses_everything_is_told_apart() -> None:
    def refuse(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise EngineRefusal("Error code: 401")

    async with client_of(make_service(Scripted(refuse))) as client:
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["refused"]) == (503, True)


async def test_openapi_describes_every_field(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"GetRewardRequest", "GetRewardReply", "ScoreRequest", "ScoreReply", "Info", "Ready", "Health"} <= set(
        schemas
    )
    bare = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, content in schema["properties"].items()
        if not content.get("description")
    ]
    assert bare == []
    assert all(schema.get("description") for schema in schemas.values())


async def test_openapi_describes_every_parameter_and_reply(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/get_reward", "/v1/score", "/health", "/ready", "/info"} <= set(paths)
    for path, methods in paths.items():
        for operation in methods.values():
            assert operation["summary"], path
            assert all(parameter.get("description") for parameter in operation.get("parameters", []))
            assert operation["responses"]["200"]["content"]["application/json"]["schema"], path
    assert {"502", "503"} <= set(paths["/get_reward"]["post"]["responses"])
