"""What `grm-plugin status` finds of services without Ray: real pid files and real HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.pid_file import holding_pid_file
from grm_plugin.serving.service import RewardService
from grm_plugin.serving.status import READY, ReplicaStatus, ServiceStatus, services_without_ray
from grm_plugin.types import Completion, Prompt, Sampling
from grm_plugin.wire.token import Token
from support.factories import Scripted, by_number, live, make_config, scoring
from support.ray_cluster import free_port

ANSWER_S = 30.0


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@contextmanager
def running(name: str = "grm", engine: Any = None, token: Token | None = None) -> Iterator[str]:
    service = RewardService(make_config(sampling__k=2, service__max_waiting=500), engine or scoring(by_number))
    with live(create_app(lambda: service, lambda: token)) as url, holding_pid_file(name, url):
        yield url


class Silent:
    """A GRM that answers nothing."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        await asyncio.Event().wait()
        return []


def only(timeout_s: float = ANSWER_S, token: Token | None = None) -> ServiceStatus:
    [found] = services_without_ray(token, timeout_s)
    return found


def test_a_machine_without_services() -> None:
    assert services_without_ray(None, ANSWER_S) == []


def test_several_services_are_told_with_their_fill() -> None:
    with running("one") as first, running("two") as second:
        one, two = services_without_ray(None, ANSWER_S)
    assert [(one.name, one.url), (two.name, two.url)] == [("one", first), ("two", second)]
    assert (one.ready, one.whole, one.problem) == (True, True, "")
    assert (one.samples, one.max_samples) == (0, 500)
    assert (one.runs, one.node, one.owner) == ("in one process", socket.gethostname(), f"process {os.getpid()}")
    assert services_without_ray(None, ANSWER_S) == []


def test_a_service_whose_grm_fails_says_why() -> None:
    with running(engine=Scripted(lambda prompt, sampling: [])):
        found = only()
    assert (found.ready, found.samples) == (False, 0)
    assert "completions" in found.problem


def test_a_service_with_a_token() -> None:
    token = Token("of-the-service")
    with running(token=token):
        refused, found = only(), only(token=token)
    assert (refused.ready, refused.problem, refused.samples) == (False, "it asks for its token: set GRM_TOKEN", None)
    assert (found.ready, found.samples) == (True, 0)


def test_a_frozen_service_does_not_answer() -> None:
    """The kernel takes its connections all the same."""
    with (
        socket.create_server(("127.0.0.1", 0)) as frozen,
        holding_pid_file("grm", f"http://127.0.0.1:{frozen.getsockname()[1]}"),
    ):
        found = only(timeout_s=0.3)
    assert (found.ready, found.problem, found.samples) == (False, "it does not answer within 0.3 s", None)


def test_a_service_that_answers_beside_a_grm_that_does_not() -> None:
    with running(engine=Silent()):
        found = only(timeout_s=3.0)
    assert (found.ready, found.samples) == (False, 0)
    assert found.problem == "the service answers, its GRM does not answer within 3 s"


def test_another_server_at_its_address() -> None:
    with live(FastAPI()) as url, holding_pid_file("grm", url):
        assert only().problem == "what answers there is no GRM service (404)"


def test_nothing_listens_yet() -> None:
    with holding_pid_file("grm", f"http://127.0.0.1:{free_port()}"):
        assert only().problem == "it does not answer: connection refused"


@pytest.mark.parametrize(
    ("ready", "states", "whole"),
    [(True, [], True), (True, [READY, READY], True), (True, [READY, "restarting"], False), (False, [READY], False)],
)
def test_it_is_whole_with_every_replica(ready: bool, states: list[str], whole: bool) -> None:
    replicas = tuple(ReplicaStatus(f"Engine:{number}", state) for number, state in enumerate(states))
    assert ServiceStatus("grm", "", ready, "", "on Ray", replicas=replicas).whole is whole
