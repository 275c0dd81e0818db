"""What a hook makes of a service that is slow, or goes away: `judge_settled`, and the failure policy it follows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from grm_plugin.client import Client, settled_rewards
from grm_plugin.client.settled_rewards import judge_settled
from grm_plugin.config import FailureConfig
from grm_plugin.errors import RewardError, ServiceError
from grm_plugin.integrations.environment_variables import Connection, connect, read_environment
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from support.factories import by_number, live, make_config, make_group, scoring

RAISES = {"normalize__method": "none", "failure__policy": "raise", "failure__deadline_s": 90.0}
"""A service whose own constant is 5.5."""


def left(config: dict[str, Any] | None = None, **service: Any) -> Connection:
    """The connection of a hook to a service that has gone since."""
    running = RewardService(make_config(sampling__k=1, **service), scoring(by_number))
    with live(create_app(lambda: running)) as url:
        environ = {"GRM_URL": url} | (
            {"GRM_CONFIG": json.dumps({"engine": {"type": "fake"}} | config)} if config else {}
        )
        return connect(read_environment(environ))


async def rewards(connection: Connection) -> list[float]:
    client = connection.client.result()
    client.timeout_s = 0.1
    return [row.value for row in await judge_settled(client, make_group("10", "1"), connection.failure)]


async def test_an_outage_follows_the_policy_of_the_service() -> None:
    with pytest.raises(RewardError, match=r"failure\.policy is 'raise'"):
        await rewards(left(**RAISES))
    assert await rewards(left(normalize__method="none")) == [5.5, 5.5]


@pytest.mark.parametrize(
    ("config", "policy", "constant"),
    [
        (None, "raise", 5.5),
        ({"failure": {"policy": "constant", "constant": 2.0}}, "constant", 2.0),
        ({"failure": {"constant": 2.0}}, "raise", 2.0),
        ({"normalize": {"method": "group"}, "failure": {"policy": "group_mean"}}, "group_mean", 5.5),
    ],
)
def test_what_grm_config_sets_beats_what_the_service_says(
    config: dict[str, Any] | None, policy: str, constant: float
) -> None:
    failure = left(config, **RAISES).failure
    assert (failure.policy, failure.constant, failure.deadline_s) == (policy, constant, 90.0)


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("fails", [False, True])
async def test_the_wait_for_a_place_is_no_latency(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(settled_rewards, "time", clock)
    running = RewardService(make_config(sampling__k=1), scoring(by_number))

    class Crowded(Client):
        async def ajudge(self, groups: Any, on_place: Callable[[], None] = lambda: None, **rest: Any) -> Any:
            clock.now += 100
            judgements = await super().ajudge(groups, on_place, **rest)
            clock.now += 2
            if fails:
                raise ServiceError("gone")
            return judgements

    with live(create_app(lambda: running)) as url:
        async with Crowded(url) as client:
            rows = await judge_settled(client, make_group("10", "1"), FailureConfig())
    assert [row.logs["grm_latency_s"] for row in rows] == [2.0, 2.0]
    assert [row.fallback for row in rows] == [fails, fails]
