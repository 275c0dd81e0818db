from __future__ import annotations

import pytest

from grm_plugin.errors import ConfigError
from grm_plugin.serving.http.without_ray import app_and_service, runs_without_ray
from support.factories import make_config


def test_replicas_need_ray() -> None:
    assert runs_without_ray(make_config(engine={"type": "fake"}, meta_rm={"type": "fake"}))
    assert not runs_without_ray(make_config(engine={"type": "fake", "replicas": 2}, meta_rm={"type": "fake"}))
    assert not runs_without_ray(make_config(service__replicas=2))


def test_several_processes_of_the_service_need_ray() -> None:
    with pytest.raises(ConfigError, match=r"service\.replicas above 1 run on Ray"):
        app_and_service(make_config(service__replicas=2))
