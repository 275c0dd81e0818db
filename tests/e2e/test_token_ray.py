"""A service with a token on a real Ray cluster: it asks for it, its clients know it, and no log of Ray shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from grm_plugin.client import Client
from grm_plugin.errors import ServiceError
from support.factories import make_config, make_group
from support.ray_cluster import ANSWER_DEADLINE_S, free_port, ray_cluster

ray = pytest.importorskip("ray")

from grm_plugin.integrations.environment_variables import connect, read_environment  # noqa: E402
from grm_plugin.serving.ray import launch  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECRET = "s3cret-Token_of.this~service"
METRICS_SECRET = "of-Prometheus-and-nobody-else"
SENTINEL = "XYZZY-the-magic-word-7431"


def test_a_token_on_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(
        sampling__k=2, service__name="guarded", service__port=free_port(), service__host="0.0.0.0", engine__type="fake",
        engine__replicas=1, service__max_body_mb=1,
    )  # fmt: skip
    monkeypatch.setenv("GRM_TOKEN", SECRET)
    monkeypatch.setenv("GRM_METRICS_TOKEN", METRICS_SECRET)
    with ray_cluster(tmp_path / "head.log") as (address, _):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with launch.start(config) as service:
            assert not any("token" in note for note in service.notes)
            monkeypatch.delenv("GRM_TOKEN")
            monkeypatch.delenv("GRM_METRICS_TOKEN")
            assert_guarded(service.url)
            # Who attaches learns the token from the service's keeper.
            attached = launch.attach(config)
            assert attached is not None
            assert attached.token == service.token
            settings = read_environment({"GRM_CONFIG": config.model_dump_json()})
            with connect(settings).client.result(timeout=60) as client:
                assert client.judge([make_group(SENTINEL)])[0].rewards[0].status == "ok"
        logs = [file for file in session_logs() if file.is_file()]
        ray.shutdown()
    assert any("guarded" in text for text in map(read, logs)), "these are the logs of the service"
    hidden = (SECRET, METRICS_SECRET, SENTINEL)
    assert [file.name for file in logs if any(text in read(file) for text in hidden)] == []


def test_a_cluster_that_asks_for_rays_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    with ray_cluster(tmp_path / "head.log", environ=os.environ | told) as (address, _):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ServiceError, match=rf"'{address}' asks for a token of Ray's.*set RAY_AUTH_MODE=token"):
            launch.connect()
        command = [sys.executable, "-c", "from grm_plugin.serving.ray import launch; launch.connect()"]
        subprocess.run(command, env=os.environ | told, timeout=ANSWER_DEADLINE_S, check=True)


def assert_guarded(url: str) -> None:
    body = json.dumps({"prompt": "Q", "response": SENTINEL}).encode()
    headers = {"Content-Type": "application/json"}
    auth = ("grm", SECRET)
    with httpx.Client(base_url=url, timeout=ANSWER_DEADLINE_S, trust_env=False) as http:
        assert http.get("/health").status_code == 200
        assert http.get("/readyz").json() == {"ready": True}
        of_metrics = {"Authorization": f"Bearer {METRICS_SECRET}"}
        assert [http.get(path, headers=of_metrics).status_code for path in ("/metrics", "/info")] == [200, 401]
        for path in ("/", "/info", "/metrics", "/ready", "/openapi.json"):
            assert http.get(path).status_code == 401
            assert http.get(path, auth=auth).status_code == 200
        assert http.post("/v1/sample", content=body, headers=headers).status_code == 401
        assert http.post("/v1/sample", content=body, headers=headers, auth=auth).status_code == 200
        large = http.post("/v1/sample", content=body + b" " * 2**20, headers=headers, auth=auth)
        assert large.status_code == 413
    with Client(url.replace("http://", f"http://grm:{SECRET}@")) as client:
        assert client.judge([make_group(SENTINEL)])[0].rewards[0].status == "ok"


def session_logs() -> list[Path]:
    node = ray._private.worker._global_node
    return list(Path(node.get_logs_dir_path()).rglob("*"))


def read(file: Path) -> str:
    return file.read_text(errors="replace")
