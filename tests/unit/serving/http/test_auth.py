"""The token: where it comes from, what it opens, and where it never shows."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
from typing import Any

import aiohttp
import httpx
import pytest

from grm_plugin.client import Client
from grm_plugin.client.readiness import read_ready
from grm_plugin.config import VLLMConfig
from grm_plugin.doctor.findings import Finding
from grm_plugin.doctor.security import check_access, check_remote_code
from grm_plugin.engines import vllm_start
from grm_plugin.errors import ConfigError, EngineError, ServiceError, WireError
from grm_plugin.integrations.environment_variables import connect, read_environment
from grm_plugin.serving.http import limits
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.auth import OPEN_PATHS
from grm_plugin.serving.http.without_ray import app_and_service
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.token import Token, exposure, locate, read_token
from support.factories import by_number, live, make_config, make_group, scoring

SECRET = "s3cret-Token_of.this~service"
TOKEN = Token(SECRET)
OPENRLHF = {"query": ["What? 7"], "prompts": ["What? "], "labels": [""]}


def make_app(token: Token | None = TOKEN, **overrides: Any) -> Any:
    service = RewardService(make_config(sampling__k=2, **overrides), scoring(by_number))
    return create_app(lambda: service, lambda: token)


def client_of(app: Any, **rest: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **rest), base_url="http://service", timeout=10)


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRM_TOKEN", raising=False)


def paths_of(app: Any) -> set[tuple[str, str]]:
    """Method and path of every route, with 1 in the place of parameters."""
    found = set()
    for route in app.routes:
        for inner in getattr(route, "routes", None) or [route]:
            path = getattr(inner, "path", "").replace("{group}", "1").replace("{name}", "page.css")
            found |= {(method, path) for method in getattr(inner, "methods", None) or ()}
    return found


KNOWN = {
    *(("POST", path) for path in ("/get_reward", "/v1/score", "/v1/sample", "/verify", "/seed_session")),
    *(("GET", path) for path in ("/", "/live", "/traces/1", "/static/x", "/export.jsonl", "/export.parquet")),
    *(("GET", path) for path in ("/ready", "/info", "/metrics", "/docs", "/redoc", "/openapi.json", "/nowhere")),
}


async def test_every_path_but_health_asks_for_the_token() -> None:
    app = make_app()
    async with client_of(app) as client:
        for method, path in sorted(KNOWN | paths_of(app)):
            reply = await client.request(method, path)
            if path in OPEN_PATHS:
                assert reply.status_code in (200, 405), path
                continue
            assert reply.status_code == 401, path
            assert method == "HEAD" or "GRM_TOKEN" in reply.json()["detail"]
            assert reply.headers.get_list("www-authenticate") == [
                'Basic realm="grm_plugin", charset="UTF-8"',
                'Bearer realm="grm_plugin"',
            ]
        assert (await client.get("/health")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    "value", [f"Bearer {SECRET}", f"bearer  {SECRET} ", basic("grm", SECRET), basic("", SECRET), basic("a b", SECRET)]
)
async def test_the_token_opens_everything(value: str) -> None:
    async with client_of(make_app()) as client:
        for path in ("/info", "/metrics", "/", "/docs", "/openapi.json"):
            assert (await client.get(path, headers={"Authorization": value})).status_code == 200, path
        reply = await client.post("/get_reward", json=OPENRLHF, headers={"Authorization": value})
        assert (reply.status_code, reply.json()["rewards"]) == (200, [pytest.approx(2 / 3)])


@pytest.mark.parametrize(
    "value",
    [
        *("", SECRET, f"Bearer {SECRET[:-1]}", f"Bearer {SECRET}x", f"Bearer {SECRET.upper()}", "Bearer", "Basic"),
        *(f"Token {SECRET}", f"Bearer\t{SECRET}", "Basic !!!", basic(SECRET, ""), basic(SECRET, "other")),
        *(f"Basic {base64.b64encode(SECRET.encode()).decode()}", b"Bearer \xff\xfe", "Basic " + "A" * 5000),
    ],
)
async def test_anything_else_does_not(value: str | bytes) -> None:
    async with client_of(make_app()) as client:
        assert (await client.get("/info", headers={"Authorization": value})).status_code == 401


@pytest.mark.parametrize(
    "path", ["/health/", "/healthz", "//health", "/info?x=/health", "/Health", "/%2e/health/../info"]
)
async def test_no_other_spelling_gets_in(path: str) -> None:
    async with client_of(make_app()) as client:
        assert (await client.get(path)).status_code == 401


@pytest.mark.parametrize("root_path", ["/grm", "/health"])
async def test_a_route_prefix_as_ray_serve_sets_it(root_path: str) -> None:
    async with client_of(make_app(), root_path=root_path) as client:
        assert (await client.get(f"{root_path}/health")).status_code == 200
        assert (await client.get(f"{root_path}/info")).status_code == 401
        assert (await client.get(f"{root_path}/info", headers=TOKEN.headers)).status_code == 200


async def test_nothing_of_a_refused_request_is_parsed() -> None:
    async with client_of(make_app()) as client:
        reply = await client.post("/get_reward", content=b"{", headers={"Content-Type": "application/json"})
    assert reply.status_code == 401


async def test_an_endless_body_without_the_token_is_not_listened_to_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER_S", 0.1)

    async def endless() -> Any:
        while True:
            yield b" " * 65_536
            await asyncio.sleep(0)

    async with client_of(make_app()) as client:
        assert (await client.post("/get_reward", content=endless())).status_code == 401


def test_a_client_that_sends_much_without_the_token_learns_why() -> None:
    with live(make_app()) as url, Client(url) as client, pytest.raises(WireError, match="asks for its token"):
        client.judge([make_group("7 " * 2**22)])


async def test_without_a_token_nothing_is_asked() -> None:
    async with client_of(make_app(token=None)) as client:
        assert (await client.get("/info")).status_code == 200
        assert (await client.get("/info", headers=TOKEN.headers)).status_code == 200


def test_our_clients_send_the_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with live(make_app()) as url:
        with Client(url) as client, pytest.raises(WireError, match="asks for its token"):
            client.judge([make_group("7")])
        with pytest.raises(ServiceError, match="asks for its token: set GRM_TOKEN"):
            read_ready(url)

        monkeypatch.setenv("GRM_TOKEN", SECRET)
        with Client(url) as client:
            assert client.judge([make_group("7")])[0].rewards[0].mean == 7
        read_ready(url)
        settings = read_environment({"GRM_URL": url})
        with connect(settings).client.result(timeout=10) as client:
            assert client.judge([make_group("7")])[0].rewards[0].mean == 7


def test_a_token_in_the_address_goes_into_the_header_and_out_of_sight() -> None:
    with live(make_app()) as url:
        address = url.replace("http://", f"http://grm:{SECRET}@")
        with Client(address + "/") as client:
            assert client.url == url
            assert client.judge([make_group("7")])[0].rewards[0].mean == 7
        read_ready(address)
    with Client(address, timeout_s=0.5) as client, pytest.raises(ServiceError) as caught:
        client.judge([make_group("7")])
    assert SECRET not in str(caught.value)


def test_aiohttp_sends_it_as_openrlhfs_http_hook_would() -> None:
    """It can set no header (openrlhf/utils/agent.py): `--reward.remote_url http://grm:TOKEN@HOST:PORT/get_reward`."""

    async def post(url: str) -> Any:
        async with aiohttp.ClientSession() as session, session.post(url, json=OPENRLHF) as reply:
            reply.raise_for_status()
            return await reply.json()

    with live(make_app()) as url:
        address = url.replace("http://", f"http://grm:{SECRET}@")
        assert asyncio.run(post(f"{address}/get_reward?n=1"))["rewards"] == [pytest.approx(2 / 3)]
        with pytest.raises(aiohttp.ClientResponseError, match="401"):
            asyncio.run(post(f"{url}/get_reward?n=1"))


def test_the_variable_of_a_configuration_beats_grm_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_TOKEN", "another")
    monkeypatch.setenv("MY_TOKEN", SECRET)
    config = make_config(sampling__k=2, service__token_env="MY_TOKEN")
    with live(app_and_service(config)[0]) as url:
        settings = read_environment({"GRM_URL": url, "GRM_CONFIG": config.model_dump_json(), "MY_TOKEN": SECRET})
        with connect(settings).client.result(timeout=10) as client:
            assert len(client.judge([make_group("7")])) == 1
        with Client(url) as client, pytest.raises(WireError, match="token"):
            client.judge([make_group("7")])


@pytest.mark.parametrize("value", ["", " ", "two words", "line\n", "tök", "\x00"])
def test_a_variable_without_a_usable_token_stops_the_start(value: str) -> None:
    with pytest.raises(ConfigError, match=r"GRM_TOKEN: .*unset it") as caught:
        read_token(environ={"GRM_TOKEN": value})
    assert "secrets.token_urlsafe" in str(caught.value)


def test_a_variable_that_was_asked_for_must_be_set() -> None:
    assert read_token(environ={}) is None
    with pytest.raises(ConfigError, match="MY_TOKEN"):
        read_token("MY_TOKEN", {})


@pytest.mark.parametrize("url", ["grm:hunter2@host:1", "http://grm:hunter2/x@host:1", "http://host:hunter2"])
def test_an_address_that_may_hold_a_part_of_a_token_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="http://HOST:PORT") as error:
        locate(url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://a:1,http://b:2",
        "http://a:1, http://b:2/",
        "http://grm:hunter2@a:1,b:2",
        "a:1,b:1",
        "http://a:1 http://b:2",
    ],
)
def test_a_list_of_addresses_is_no_address_of_a_service(url: str) -> None:
    with pytest.raises(ConfigError, match=r"a list of addresses: give one .* scaled by engine\.replicas") as error:
        locate(url)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("rest", ["/get_reward?n=4", "/get_reward/", "/grm/v1/sample?n=8", "/v1/score", "/?n=4"])
def test_an_endpoint_is_no_address_of_a_service(rest: str) -> None:
    with pytest.raises(ConfigError, match="give http://HOST:PORT only"):
        locate(f"http://grm:abc@host:1{rest}")


@pytest.mark.parametrize(
    ("url", "address", "secret"),
    [
        ("http://host:1/", "http://host:1", None),
        ("http://grm:abc@host:1/grm/", "http://host:1/grm", "abc"),
        ("http://:a%40b@[::1]:1", "http://[::1]:1", "a@b"),
        ("http://user@host", "http://host", None),
        ("http://grm:a,b@host:1", "http://host:1", "a,b"),
        ("http://host/a@b:c", "http://host/a@b:c", None),
        ("", "", None),
    ],
)
def test_addresses_are_taken_apart(url: str, address: str, secret: str | None) -> None:
    assert locate(url) == (address, secret and Token(secret))


def test_the_token_does_not_show(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("GRM_TOKEN", SECRET)
    caplog.set_level(logging.DEBUG)
    assert SECRET not in repr(TOKEN) + str(TOKEN) + f"{(TOKEN,)}"
    assert pickle.loads(pickle.dumps(TOKEN)) == TOKEN  # on its way to the replica
    config = make_config()
    app_and_service(config)
    assert SECRET not in config.model_dump_json()
    assert SECRET not in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "", "gpu-node"])
def test_listening_wider_than_loopback_without_a_token_is_told(host: str, caplog: pytest.LogCaptureFixture) -> None:
    [note] = exposure(host, None)
    assert "asks for no token" in note
    assert "GRM_TOKEN" in note
    assert exposure(host, TOKEN) == ()
    app_and_service(make_config(service__host=host))
    assert note in caplog.messages


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_not_worth_a_word(host: str, caplog: pytest.LogCaptureFixture) -> None:
    app_and_service(make_config(service__host=host))
    assert exposure(host, None) == ()
    assert caplog.messages == []


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_doctor_looks_at_access(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(check_access(make_config())).level == "ok"
    assert "GRM_TOKEN" in only(check_access(make_config(service__host="0.0.0.0"))).fix
    monkeypatch.setenv("GRM_TOKEN", SECRET)
    assert only(check_access(make_config(service__host="0.0.0.0"))).level == "ok"
    monkeypatch.setenv("GRM_TOKEN", "")
    assert only(check_access(make_config())).level == "error"


@pytest.mark.parametrize(
    ("model", "level"),
    [
        ({}, "ok"),
        ({"trust_remote_code": True}, "warning"),
        ({"engine_args": {"trust_remote_code": True}}, "warning"),
        ({"trust_remote_code": True, "engine_args": {"trust_remote_code": False}}, "ok"),
    ],
)
def test_doctor_says_whose_code_will_run(model: dict[str, Any], level: str) -> None:
    config = make_config(engine={"type": "vllm", "model": "owner/grm", **model})
    assert only(check_remote_code(config)).level == level


def test_the_engine_says_it_too(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def far_enough() -> bool:
        raise EngineError("this test needs no model")

    monkeypatch.setattr(vllm_start, "is_cpu_build", far_enough)
    with pytest.raises(EngineError):
        vllm_start.start_vllm(VLLMConfig(model="owner/grm", trust_remote_code=True), "generate")
    assert "trust_remote_code is on: Python code shipped with owner/grm runs here" in caplog.text


@pytest.mark.parametrize("port", ["99999", "65536", "8790000000", "x", "-1"])
def test_a_port_that_there_is_not_is_told_before_anything_is_sent(port: str) -> None:
    with pytest.raises(ConfigError, match="this is no address of a service: write http://HOST:PORT"):
        locate(f"http://127.0.0.1:{port}")
    assert locate("http://127.0.0.1:65535")[0] == "http://127.0.0.1:65535"
