"""A replica that is split over two devices: vLLM's worker processes, two of them, inside an actor on Ray.

vLLM's CPU build runs tensor parallel too, which `engine_args` ask it for here: the key of the configuration only says
how many of the cluster's GPUs, which are pretended, the replica reserves. Five minutes on two busy cores.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from grm_plugin.config.loading import load_config
from support.paths import ROOT
from support.ray_cluster import actor_pids, free_port, grm_processes, ray_cluster, vllm_processes, wait_for

ray = pytest.importorskip("ray")
pytest.importorskip("vllm")

from grm_plugin.serving.ray import launch  # noqa: E402
from grm_plugin.serving.ray.gpus import cluster_gpus  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

DEADLINE_S = 200.0
GONE_DEADLINE_S = 30.0
ASKED = {
    "groups": [
        {
            "messages": [{"role": "user", "content": "Name three colours, separated by commas."}],
            "responses": ["red, green, blue", "no"],
        }
    ]
}
SPLIT = {
    "engine.tensor_parallel_size": "2",
    "engine.engine_args": '{"tensor_parallel_size": 2, "distributed_executor_backend": "mp"}',
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A cluster that claims two GPUs; the Unix session of its processes."""
    monkeypatch.delenv("GRM_CPU", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with ray_cluster(tmp_path / "head.log", num_gpus=2) as (address, session):
        monkeypatch.setenv("RAY_ADDRESS", address)
        yield session
        ray.shutdown()


def least_votes(url: str) -> int:
    reply = httpx.post(f"{url}/v1/score", json=ASKED, timeout=DEADLINE_S, trust_env=False)
    assert reply.status_code == 200, reply.text
    return min(reward["votes_parsed"] for reward in reply.json()["judgements"][0]["rewards"])


def with_children(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def have_ended(processes: list[psutil.Process]) -> bool:
    """Whether none of them runs. A process that has taken over a number is not taken for another one."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_killed_replica_takes_its_workers_along_and_comes_back(cluster: int) -> None:
    config = load_config(
        ROOT / "configs" / "nano_cpu.yaml",
        SPLIT | {"service.port": str(free_port()), "service.ready_timeout_s": f"{DEADLINE_S:g}"},
    )
    with launch.start(config) as service:
        assert least_votes(service.url) >= 4
        assert cluster_gpus().free == 0
        for killed in ("the replica", "a worker"):
            workers = vllm_processes(cluster)
            assert len(workers) == 2, workers
            (replica,) = actor_pids(cluster, "grm:Engine")
            running = with_children(replica)
            assert {process.pid for process in running} > set(workers)
            os.kill(replica if killed == "the replica" else min(workers), signal.SIGKILL)
            wait_for(lambda old=running: have_ended(old), GONE_DEADLINE_S, f"the end of all of it, {killed} killed")
            assert least_votes(service.url) >= 4
    wait_for(lambda: not grm_processes(cluster), GONE_DEADLINE_S, "no GRM process after stop")
