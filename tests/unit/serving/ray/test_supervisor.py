"""The job's process starts a service that is gone again, at most `RESTARTS` times."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray.supervisor import RESTARTS, SILENT_LOOKS, Supervisor
from support.factories import make_config

URL = "http://127.0.0.1:8790"


class Service:
    """What each look of the supervisor finds, and how often it has started the service again."""

    def __init__(self, looks: list[bool | None], fails: bool = False) -> None:
        self._looks: Iterator[bool | None] = iter(looks)
        self.fails = fails
        self.restarts = 0
        self.seen_all = threading.Event()

    def gone(self) -> bool | None:
        try:
            return next(self._looks)
        except StopIteration:
            self.seen_all.set()
            return False

    def restart(self) -> str:
        self.restarts += 1
        if self.fails:
            raise ServiceError("no GPU is free")
        return URL


def supervise(service: Service) -> Supervisor:
    with Supervisor(make_config(), URL, service.gone, service.restart, period_s=0.001) as supervisor:
        assert service.seen_all.wait(10) or supervisor.restarts == RESTARTS
    return supervisor


@pytest.mark.parametrize(
    ("looks", "restarts"),
    [
        ([False] * 5, 0),
        ([False, True, False], 1),
        ([None] * (SILENT_LOOKS - 1) + [False] + [None] * (SILENT_LOOKS - 1), 0),
        ([None] * SILENT_LOOKS, 1),
        ([None] * (2 * SILENT_LOOKS), 2),
    ],
    ids=["well", "gone", "silent for a while", "silent for long", "silent again"],
)
def test_it_is_brought_back_when_all_of_it_is_gone(looks: list[bool | None], restarts: int) -> None:
    service = Service(looks)
    supervise(service)
    assert service.restarts == restarts


@pytest.mark.parametrize("fails", [False, True])
def test_restarts_are_bounded(fails: bool, caplog: pytest.LogCaptureFixture) -> None:
    service = Service([True] * 20, fails)
    with Supervisor(make_config(), URL, service.gone, service.restart, period_s=0.001) as supervisor:
        supervisor._thread.join(10)
        assert not supervisor._thread.is_alive()
    assert service.restarts == RESTARTS
    assert "it stays down" in caplog.text
    assert ("no GPU is free" in caplog.text) == fails


def test_another_address_is_told(caplog: pytest.LogCaptureFixture) -> None:
    service = Service([True])
    with (
        caplog.at_level(logging.ERROR),
        Supervisor(make_config(), "http://127.0.0.1:1", service.gone, service.restart, period_s=0.001),
    ):
        assert service.seen_all.wait(10)
    assert "came back at http://127.0.0.1:8790, but the job asks it at http://127.0.0.1:1" in caplog.text
