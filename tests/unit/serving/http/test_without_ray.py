from __future__ import annotations

from grm_plugin.serving.http.without_ray import runs_without_ray
from support.factories import make_config


def test_replicas_need_ray() -> None:
    assert runs_without_ray(make_config(engine={"type": "fake"}, meta_rm={"type": "fake"}))
    assert not runs_without_ray(make_config(engine={"type": "fake", "replicas": 2}, meta_rm={"type": "fake"}))
