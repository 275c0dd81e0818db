"""The client against real servers: the service itself, and small ones that misbehave on purpose."""

import asyncio
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from grm_plugin.client import Client
from grm_plugin.client import http_client as client_module
from grm_plugin.client.call_slots import CallSlots
from grm_plugin.client.http_client import TRIES
from grm_plugin.errors import ServiceError, WireError
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Group, Message
from grm_plugin.wire.schemas import WireGroup
from support.factories import Scripted, by_number, live, make_config, make_group, never, scoring, until
from support.relay import breaking_first_connection


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_PAUSE_S", 0.005)


@pytest.fixture
def service() -> RewardService:
    return RewardService(make_config(sampling__k=2), scoring(by_number))


class Misbehaving:
    """Answers the first calls of `/v1/score` as `bad` says, then hands over to a real service."""

    def __init__(self, service: RewardService, bad: list[Response]) -> None:
        self.ids: list[str | None] = []
        self.bad = bad
        self.app = FastAPI()
        real = create_app(lambda: service)

        @self.app.middleware("http")
        async def first_calls(request: Request, call_next):  # type: ignore[no-untyped-def]
            self.ids.append((await request.json()).get("request_id"))
            return bad.pop(0) if bad else await call_next(request)

        self.app.mount("/", real)


def values(judgements: list) -> list[list[float]]:
    return [[reward.settled for reward in judgement.rewards] for judgement in judgements]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_critiques_come_to_who_asks_for_them(service: RewardService) -> None:
    with live(create_app(lambda: service)) as url, Client(url) as client:
        for detail in (False, True):
            [judgement] = client.judge([make_group("10", "1")], detail=detail)
            assert values([judgement]) == [[1.0, 0.0]]
            assert bool(judgement.critiques) == detail


def test_a_service_that_does_not_know_the_field_detail_is_asked_without_it(service: RewardService) -> None:
    asked: list[bool] = []
    app = FastAPI()

    @app.middleware("http")
    async def of_an_older_version(request: Request, call_next):  # type: ignore[no-untyped-def]
        asked.append("detail" in await request.json())
        problem = {"loc": ["body", "detail"], "msg": "Extra inputs are not permitted", "type": "extra_forbidden"}
        return JSONResponse({"detail": [problem]}, 422) if asked[-1] else await call_next(request)

    app.mount("/", create_app(lambda: service))
    with live(app) as url, Client(url) as client:
        for _ in range(2):
            assert values(client.judge([make_group("10", "1")])) == [[1.0, 0.0]]
    assert asked == [True, False, False]


def test_sync_and_async_calls_give_the_same_judgements(service: RewardService) -> None:
    groups = [make_group("10", "1"), make_group("4", "7", "7", reference="7")]

    async def ajudge(url: str) -> list[list[float]]:
        async with Client(url) as client:
            return values(await client.ajudge(groups))

    with live(create_app(lambda: service)) as url, Client(url) as client:
        expected = [[1.0, 0.0], pytest.approx([1 / 3, 2 / 3, 2 / 3])]
        assert values(client.judge(groups)) == expected
        assert asyncio.run(ajudge(url)) == expected
        assert asyncio.run(ajudge(url + "/")) == expected
        assert client.judge([]) == []


def test_one_client_serves_many_threads_and_several_event_loops(service: RewardService) -> None:
    with live(create_app(lambda: service)) as url, Client(url) as client, ThreadPoolExecutor(8) as pool:
        scores = [index % 10 + 1 for index in range(32)]
        judged = pool.map(lambda score: client.judge([make_group(str(score))]), scores)
        assert [reply[0].rewards[0].mean for reply in judged] == scores

        async def twice() -> list[float | None]:
            replies = [await client.ajudge([make_group("3")]) for _ in range(2)]
            await client.aclose()
            return [reply[0].rewards[0].mean for reply in replies]

        assert [asyncio.run(twice()) for _ in range(2)] == [[3, 3], [3, 3]]


async def test_a_sync_call_inside_a_running_loop_works(service: RewardService) -> None:
    with live(create_app(lambda: service)) as url, Client(url) as client:
        assert values(client.judge([make_group("10")])) == [[1.0]]


def test_prompt_text_travels_as_it_is(service: RewardService) -> None:
    prompt = "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    with live(create_app(lambda: service)) as url, Client(url) as client:
        client.judge([WireGroup(prompt=prompt, responses=["5"])])
    generator = service.grm.generator
    assert isinstance(generator, Scripted)
    shown = generator.calls[0][0].messages[-1].content
    assert "How many?" in shown
    assert "im_start" not in shown


def test_lone_surrogates_are_replaced_before_they_break_the_request(service: RewardService) -> None:
    group = Group((Message("user", "caf\ud800"),), ("10\udfff",), reference="\ud800", rubric="\udc00")
    with live(create_app(lambda: service)) as url, Client(url) as client:
        assert values(client.judge([group])) == [[1.0]]


@pytest.mark.parametrize("answered", [False, True], ids=["never there", "gone"])
def test_a_service_that_is_not_there_in_time_is_no_slow_one(answered: bool) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, timeout_s=0.3, max_concurrency=1) as client, ThreadPoolExecutor(3) as pool:
        client._has_answered = answered
        calls = [pool.submit(client.judge, [make_group("1")]) for _ in range(3)]  # two wait for their turn
        for error in (call.exception() for call in calls):
            assert isinstance(error, ServiceError)
            assert f"no GRM service answers at {url} (connection refused" in str(error)
            assert "grm-plugin serve" in str(error)
            assert "replicas" not in str(error)


@pytest.mark.parametrize(
    "bad",
    [
        PlainTextResponse("no replica", status_code=503),
        JSONResponse({"detail": "busy"}, status_code=503, headers={"Retry-After": "0"}),
    ],
    ids=["unavailable", "busy"],
)
def test_a_service_that_is_away_for_a_moment_is_asked_again_under_the_same_id(
    service: RewardService, bad: Response
) -> None:
    server = Misbehaving(service, [bad] * 3)
    with live(server.app) as url, Client(url) as client:
        assert values(client.judge([make_group("10")])) == [[1.0]]
        assert values(client.judge([make_group("1")])) == [[0.0]]
    assert sorted(Counter(server.ids).values()) == [1, 4]
    assert None not in server.ids


async def test_the_calls_of_one_sample_are_repeated_under_the_same_id(service: RewardService) -> None:
    ids: list[tuple[str, str | None]] = []
    app, real = FastAPI(), create_app(lambda: service)

    @app.middleware("http")
    async def every_second_call(request: Request, call_next):  # type: ignore[no-untyped-def]
        ids.append((request.url.path, request.query_params.get("request_id")))
        return PlainTextResponse("no replica", status_code=503) if len(ids) % 2 else await call_next(request)

    app.mount("/", real)
    rollout = {"responses_create_params": {"input": "Q"}, "response": {"output": []}}
    with live(app) as url:
        async with Client(url) as client:
            assert await client.areward(make_group("10"), 1) == 1.0
            assert await client.areward(make_group("10"), 1) == 1.0
            assert (await client.areward_with_logs(make_group("10"), 1)).reward == 1.0
            assert (await client.averify(rollout, 1))["reward"] == 0.0
    assert [path for path, _ in ids] == ["/v1/sample"] * 6 + ["/verify"] * 2
    assert all(id for _, id in ids)
    assert sorted(Counter(ids).values()) == [2, 2, 2, 2]


def test_a_busy_service_is_asked_until_the_time_is_up(service: RewardService) -> None:
    busy = JSONResponse({"detail": "busy"}, status_code=503, headers={"Retry-After": "0"})
    server = Misbehaving(service, [busy] * (3 * TRIES))
    with live(server.app) as url, Client(url) as client:
        assert values(client.judge([make_group("10")])) == [[1.0]]


def held_until(released: threading.Event) -> Scripted:
    """A GRM that answers once the event is set."""

    async def reply(prompt, sampling):  # type: ignore[no-untyped-def]
        await until(released.is_set)
        return scoring(by_number).reply(prompt, sampling)

    return Scripted(reply)


async def test_a_dropped_connection_attaches_to_the_running_work() -> None:
    """The connection breaks while the GRM works: the second try gets the result of the first one's work."""
    second_try = threading.Event()

    generator = held_until(second_try)
    service = RewardService(make_config(sampling__k=1), generator)

    def attached() -> bool:
        return service.info().counters["attached"] == 1

    with live(create_app(lambda: service)) as url:
        async with breaking_first_connection(url, when=lambda: generator.calls) as broken, Client(broken) as client:
            asking = asyncio.create_task(client.ajudge([make_group("10")]))
            await until(attached)
            second_try.set()
            assert values(await asking) == [[1.0]]
    assert len(generator.calls) == 1


def test_no_service_at_the_address_is_an_error_that_says_what_to_check() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(ServiceError, match=rf"(?s){url} .*grm-plugin serve.*{url}/health"):
        client.judge([make_group("10")])


def test_a_service_that_never_answers_is_given_up() -> None:
    hanging = RewardService(make_config(), Scripted(never))
    with (
        live(create_app(lambda: hanging)) as url,
        Client(url, timeout_s=0.3) as client,
        pytest.raises(ServiceError, match=r"did not answer within 0\.3 s"),
    ):
        client.judge([make_group("10")])


def test_the_deadline_counts_from_the_place_and_not_from_the_queue() -> None:
    slow = RewardService(make_config(sampling__k=1), Scripted(_slowly))
    groups = [[make_group("10")] for _ in range(6)]

    async def all_at_once(url: str) -> list[list[list[float]]]:
        async with Client(url, timeout_s=2.0, max_concurrency=2) as client:
            return [values(reply) for reply in await asyncio.gather(*map(client.ajudge, groups))]

    with live(create_app(lambda: slow)) as url:
        assert asyncio.run(all_at_once(url)) == [[[1.0]]] * 6


def test_a_queue_for_a_service_that_never_answers_is_given_up_with_its_head() -> None:
    hanging = RewardService(make_config(), Scripted(never))

    async def all_at_once(url: str) -> list[BaseException | list]:
        async with Client(url, timeout_s=0.4, max_concurrency=2) as client:
            asked = [client.ajudge([make_group("10")]) for _ in range(40)]
            return await asyncio.gather(*asked, return_exceptions=True)

    with live(create_app(lambda: hanging)) as url:
        # One after the other they would take eight seconds.
        replies = asyncio.run(asyncio.wait_for(all_at_once(url), 6))
    assert all(isinstance(reply, ServiceError) for reply in replies)


async def test_a_call_says_when_it_has_its_place() -> None:
    opened = threading.Event()

    generator = held_until(opened)
    service = RewardService(make_config(sampling__k=1), generator)
    placed: list[str] = []
    with live(create_app(lambda: service)) as url:
        async with Client(url, max_concurrency=1) as client:
            first = asyncio.create_task(client.ajudge([make_group("10")], lambda: placed.append("first")))
            await until(lambda: bool(generator.calls))
            second = asyncio.create_task(client.ajudge([make_group("1")], lambda: placed.append("second")))
            await asyncio.sleep(0.05)
            assert placed == ["first"]
            opened.set()
            await asyncio.gather(first, second)
    assert placed == ["first", "second"]


async def test_a_place_is_waited_for_while_calls_succeed_and_free_again_when_they_do_not() -> None:
    places = CallSlots(1, patience_s=1.5)

    async def call(takes_s: float) -> None:
        async with places.hold():
            await asyncio.sleep(takes_s)

    await asyncio.gather(*(call(0.5) for _ in range(5)))  # the last one waits for longer than anybody's patience
    holding = asyncio.create_task(call(60))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await call(0)
    holding.cancel()
    await call(0)


@pytest.mark.parametrize("retry_after", ["0", "00", "9" * 400])
def test_no_retry_after_makes_the_client_race_or_sleep_for_ever(service: RewardService, retry_after: str) -> None:
    server = Misbehaving(
        service, [JSONResponse({"detail": "busy"}, status_code=503, headers={"Retry-After": retry_after})] * 10_000
    )
    with (
        live(server.app) as url,
        Client(url, timeout_s=0.5) as client,
        pytest.raises(ServiceError, match=r"within 0\.5 s"),
    ):
        client.judge([make_group("10")])
    assert len(server.ids) <= 0.5 / client_module.FIRST_PAUSE_S + 1


async def _slowly(prompt, sampling):  # type: ignore[no-untyped-def]
    await asyncio.sleep(0.8)
    return scoring(by_number).reply(prompt, sampling)


def test_a_rejected_group_names_the_field(service: RewardService) -> None:
    app = FastAPI()

    @app.post("/v1/score")
    def reject() -> JSONResponse:
        detail = [{"loc": ["body", "groups", 0, "prompt"], "msg": "Input should be a valid string"}]
        return JSONResponse({"detail": detail}, status_code=422)

    with live(app) as url, Client(url) as client:
        with pytest.raises(WireError, match=r"body\.groups\.0\.prompt: Input should be a valid string"):
            client.judge([make_group("10")])
        with pytest.raises(WireError, match=r"messages\.0: .*the role 'oracle'; use one of system"):
            client.judge([Group((Message("oracle", "?"),), ("10",))])
        with pytest.raises(WireError, match=r"responses: List should have at least 1 item"):
            client.judge([make_group()])
        with pytest.raises(WireError, match=r"at most 1024 items .*not 1025; make several calls"):
            client.judge([make_group("10")] * 1025)


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (JSONResponse({"detail": "3 of 4 rewards are missing"}, status_code=500), ServiceError, "3 of 4 rewards"),
        (JSONResponse({"judgements": [{"rewards": "many"}]}), WireError, "same version on both sides"),
        (PlainTextResponse("<html>"), WireError, "same version on both sides"),
        (JSONResponse({"detail": "Not Found"}, status_code=404), WireError, "Not Found"),
    ],
    ids=["failed", "other version", "other server", "other path"],
)
def test_other_failures_are_told_and_not_repeated(
    service: RewardService, response: Response, error: type[Exception], words: str
) -> None:
    server = Misbehaving(service, [response])
    with live(server.app) as url, Client(url) as client, pytest.raises(error, match=words):
        client.judge([make_group("10")])
    assert len(server.ids) == 1


def test_what_a_newer_service_says_beside_is_left_out(service: RewardService) -> None:
    with live(create_app(lambda: service)) as url:
        reply = httpx.post(f"{url}/v1/score", json={"groups": [{"prompt": "?", "responses": ["10"]}]}).json()
    reply["judgements"][0]["rewards"][0]["new"] = reply["judgements"][0]["new"] = reply["new"] = 1
    server = Misbehaving(service, [JSONResponse(reply)])
    with live(server.app) as url, Client(url) as client:
        assert client.judge([make_group("10")])[0].rewards[0].mean == 10


CRASH = PlainTextResponse("Internal Server Error", status_code=500)
"""What a proxy before the service sends when it dies under a request."""


def test_a_crash_under_a_request_is_survived(service: RewardService) -> None:
    server = Misbehaving(service, [CRASH])
    with live(server.app) as url, Client(url) as client:
        assert values(client.judge([make_group("10")])) == [[1.0]]
    assert len(server.ids) == 2
    assert len(set(server.ids)) == 1


def test_a_request_that_always_crashes_the_service_is_told(
    service: RewardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.LONGEST_PAUSE_S", 0.01)
    server = Misbehaving(service, [CRASH] * (2 * TRIES))
    with (
        live(server.app) as url,
        Client(url) as client,
        pytest.raises(ServiceError, match="500: Internal Server Error"),
    ):
        client.judge([make_group("10")])
    assert len(server.ids) == TRIES


def test_a_service_that_has_answered_is_waited_for_while_it_is_brought_back(
    service: RewardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grm_plugin.client.http_client.LONGEST_PAUSE_S", 0.01)
    away = PlainTextResponse("no replica", status_code=503)
    server = Misbehaving(service, [])
    with live(server.app) as url, Client(url) as client:
        assert values(client.judge([make_group("10")])) == [[1.0]]
        server.bad += [away] * (3 * TRIES)
        assert values(client.judge([make_group("1")])) == [[0.0]]


@pytest.mark.parametrize("url", ["", "127.0.0.1:8790", "tcp://host:1"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ServiceError, match="give http://HOST:PORT"):
        Client(url)
