"""What probes and Prometheus get from a service with a token: readiness without it, metrics with one of their own."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import pytest

from grm_plugin.config import ServiceConfig
from grm_plugin.doctor.security import check_access
from grm_plugin.errors import ConfigError
from grm_plugin.serving.http import shared_look
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.shared_look import SharedLook
from grm_plugin.serving.http.without_ray import app_and_service
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.token import Token, read_service_token
from support.clock import Clock
from support.factories import Scripted, completions, live, make_config

SECRET, METRICS_SECRET = "s3cret-Token_of.this~service", "of-Prometheus"
TOKEN = Token(SECRET, METRICS_SECRET)


class Models:
    """The script of a GRM that answers while it is well; it counts what it is asked."""

    def __init__(self) -> None:
        self.well = True
        self.asked = 0

    def __call__(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        self.asked += 1
        return completions([7.0]) if self.well else []


def client_of(models: Models, token: Token | None = TOKEN) -> httpx.AsyncClient:
    service = RewardService(make_config(sampling__k=2), Scripted(models))
    app = create_app(lambda: service, lambda: token)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service", timeout=10)


async def test_readiness_takes_no_token_and_tells_no_more_than_yes_or_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_look, "KEEP_S", 0.0)
    models = Models()
    async with client_of(models) as client:
        reply = await client.get("/readyz")
        assert (reply.status_code, reply.json()) == (200, {"ready": True})
        models.well = False
        reply = await client.get("/readyz")
        assert (reply.status_code, reply.json()) == (503, {"ready": False})
        assert (await client.get("/ready")).status_code == 401
        why = await client.get("/ready", headers=TOKEN.headers)
        assert (why.status_code, bool(why.json()["problem"])) == (503, True)


async def test_who_asks_often_does_not_keep_the_grm_busy() -> None:
    models = Models()
    async with client_of(models) as client:
        replies = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        assert {reply.status_code for reply in replies} == {200}
        assert (await client.get("/readyz")).status_code == 200
    assert models.asked == 1


async def test_a_look_is_told_again_only_for_a_while() -> None:
    clock, looks = Clock(), 0

    async def look() -> str:
        nonlocal looks
        looks += 1
        return f"look {looks}"

    shared = SharedLook(look, clock)
    assert [await shared.problem(), await shared.problem()] == ["look 1"] * 2
    clock.now += shared_look.KEEP_S + 0.1
    assert await shared.problem() == "look 2"


async def test_a_probe_that_hangs_up_does_not_take_the_answer_from_others() -> None:
    go_on = asyncio.Event()

    async def look() -> str:
        await go_on.wait()
        return "told"

    shared = SharedLook(look)
    first, second = (asyncio.create_task(shared.problem()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await second == "told"


def basic(password: str) -> str:
    return f"Basic {base64.b64encode(f'prometheus:{password}'.encode()).decode()}"


@pytest.mark.parametrize("value", [f"Bearer {METRICS_SECRET}", basic(METRICS_SECRET)], ids=["bearer", "basic"])
async def test_the_token_of_the_metrics_opens_them_and_nothing_else(value: str) -> None:
    headers = {"Authorization": value}
    async with client_of(Models()) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == 200
        for path in ("/info", "/ready", "/", "/docs", "/metrics/", "//metrics", "/info?x=/metrics", "/export.jsonl"):
            assert (await client.get(path, headers=headers)).status_code == 401, path
        body = {"prompt": "Q", "response": "7"}
        assert (await client.post("/v1/sample", json=body, headers=headers)).status_code == 401
        assert (await client.get("/metrics", headers=TOKEN.headers)).status_code == 200
        assert (await client.get("/metrics")).status_code == 401


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic", basic("")])
async def test_without_a_token_of_their_own_the_metrics_take_the_services_only(value: str) -> None:
    async with client_of(Models(), Token(SECRET)) as client:
        assert (await client.get("/metrics", headers={"Authorization": value})).status_code == 401
        assert (await client.get("/metrics", headers=TOKEN.headers)).status_code == 200


def read(**environ: str) -> Token | None:
    return read_service_token(ServiceConfig(), environ)


def test_both_tokens_come_from_the_environment() -> None:
    assert read() is None
    assert read(GRM_TOKEN="a") == Token("a")
    assert read(GRM_TOKEN="a", GRM_METRICS_TOKEN="b") == Token("a", "b")
    service = ServiceConfig(token_env="MINE", metrics_token_env="ITS")
    assert read_service_token(service, {"MINE": "a", "ITS": "b", "GRM_METRICS_TOKEN": "c"}) == Token("a", "b")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GRM_METRICS_TOKEN": "b"}, "GRM_METRICS_TOKEN is set and GRM_TOKEN is not"),
        ({"GRM_TOKEN": "a", "GRM_METRICS_TOKEN": "a"}, "hold the same token"),
        ({"GRM_TOKEN": "a", "GRM_METRICS_TOKEN": ""}, "GRM_METRICS_TOKEN: "),
        ({"GRM_TOKEN": "a", "GRM_METRICS_TOKEN": "two words"}, "GRM_METRICS_TOKEN: "),
    ],
    ids=["alone", "equal", "empty", "unsendable"],
)
def test_a_token_of_the_metrics_that_protects_nothing_stops_the_start(
    environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        read(**environ)
    assert "two words" not in str(error.value)
    for name in ("GRM_TOKEN", "GRM_METRICS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        app_and_service(make_config())
    assert check_access(make_config())[0].level == "error"


def test_a_variable_that_the_configuration_names_must_be_set() -> None:
    with pytest.raises(ConfigError, match=r"service\.metrics_token_env says that ITS holds"):
        read_service_token(ServiceConfig(metrics_token_env="ITS"), {"GRM_TOKEN": "a"})


def test_a_service_without_ray_has_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRM_TOKEN", SECRET)
    monkeypatch.setenv("GRM_METRICS_TOKEN", METRICS_SECRET)

    def get(path: str, secret: str) -> Any:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.get(f"{url}{path}", headers=headers, timeout=30, trust_env=False).status_code

    with live(app_and_service(make_config(sampling__k=2))[0]) as url:
        assert [get("/metrics", METRICS_SECRET), get("/info", METRICS_SECRET), get("/info", SECRET)] == [200, 401, 200]
    assert METRICS_SECRET not in repr(TOKEN)
