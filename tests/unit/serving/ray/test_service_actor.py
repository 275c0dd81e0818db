"""What each of several processes of a service gets of what all of them share. The actor itself: tests/e2e."""

from __future__ import annotations

import pytest

pytest.importorskip("ray")

from grm_plugin.serving.ray.service_actor import share_of_engine
from support.factories import make_config

OPENAI = {"type": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1", "max_concurrency": 64}


@pytest.mark.parametrize(("replicas", "share"), [(1, 64), (2, 32), (3, 22), (100, 1)])
def test_processes_share_the_requests_to_an_openai_server(replicas: int, share: int) -> None:
    config = make_config(engine=OPENAI, service__replicas=replicas)
    assert share_of_engine(config) == config.engine.model_copy(update={"max_concurrency": share})


def test_a_fake_engine_has_no_bound_to_share() -> None:
    config = make_config(service__replicas=2)
    assert share_of_engine(config) == config.engine
