"""Hooks that have a configuration only: their service is found, or started, while the framework starts.

With a real Ray cluster: tests/e2e/test_token_ray.py.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

from grm_plugin.client.settled_rewards import judge_settled
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError, ServiceError
from grm_plugin.integrations.environment_variables import HookSettings, connect, read_environment
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.ray import launch
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.token import Token
from support.factories import by_number, live, make_config, make_group, scoring

TOKEN = Token("s3cret")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> HookSettings:
    monkeypatch.delenv("GRM_TOKEN", raising=False)
    return HookSettings(None, make_config(sampling__k=2, service__name="mine"), 2)


async def test_the_service_that_is_started_gives_the_rewards(
    settings: HookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    assert settings.config is not None
    service = RewardService(settings.config, scoring(by_number))
    with live(create_app(lambda: service, lambda: TOKEN)) as url:

        def start(config: Config) -> launch.ServiceHandle:
            assert ready.wait(20)
            return launch.ServiceHandle(config.service.name, url, token=TOKEN)

        monkeypatch.setattr(launch, "start_or_attach", start)
        connecting = connect(settings)
        assert not connecting.client.done(), "the framework goes on meanwhile"
        ready.set()
        client = await asyncio.wrap_future(connecting.client)
        rewards = await judge_settled(client, make_group("10", "1"), connecting.failure)
        await client.aclose()
    assert [reward.value for reward in rewards] == [1.0, 0.0]


@pytest.mark.parametrize("error", [ServiceError("no GPU is free"), RuntimeError("Ray is gone")])
async def test_a_start_that_fails_reaches_the_first_reward(
    settings: HookSettings, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No failure policy makes rewards of it: there has never been a service."""

    def start(_: Config) -> launch.ServiceHandle:
        raise error

    monkeypatch.setattr(launch, "start_or_attach", start)
    connecting = connect(settings)
    for _ in range(2):
        with pytest.raises(type(error), match=str(error)):
            await asyncio.wrap_future(connecting.client)


def test_a_temperature_that_is_no_number_is_named() -> None:
    with pytest.raises(ConfigError, match="GRM_EVAL_TEMPERATURE is 'warm'"):
        read_environment({"GRM_URL": "http://a", "GRM_EVAL_TEMPERATURE": "warm"})
