"""A service on two nodes, both of them on this machine: what is where, and what a node takes down with it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.client import Client
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.errors import ServiceError
from grm_plugin.types import Group, Message
from support.paths import ROOT
from support.ray_cluster import RAY, end_session, free_port, ray_cluster, wait_for

ray = pytest.importorskip("ray")

from grm_plugin.serving.ray import launch  # noqa: E402
from grm_plugin.serving.ray.actors import actors_of, head_node, keeper_name  # noqa: E402
from grm_plugin.serving.ray.supervisor import Supervisor  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NODE_DEADLINE_S = 60.0
GROUP = Group((Message("user", "Name three colours."),), ("red, green, blue", "no"))


def fake(port: int) -> Config:
    data = {"engine": {"type": "fake", "replicas": 2}, "service": {"name": "two", "port": port}, "sampling": {"k": 4}}
    return load_config(data)


@contextmanager
def second_node(address: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(RAY), "start", "--address", address, "--block", "--num-cpus=4", "--disable-usage-stats"]
    with log.open("wb") as out:
        node = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield node
    finally:
        end_session(node)


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """This process is connected to a cluster of two nodes; the process of the one that is not the head."""
    monkeypatch.delenv("GRM_CPU", raising=False)
    with ray_cluster(tmp_path / "head.log") as (address, _), second_node(address, tmp_path / "node.log") as node:
        monkeypatch.setenv("RAY_ADDRESS", address)
        launch.connect()
        wait_for(lambda: alive() == 2, NODE_DEADLINE_S, "a second node")
        yield node
        ray.shutdown()


def alive() -> int:
    return sum(node["Alive"] for node in ray.nodes())


def node_of(actor: Any) -> str:
    found: str = ray.get(actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()), timeout=30)
    return found


def test_what_is_where_and_what_a_lost_node_costs(nodes: subprocess.Popen[bytes]) -> None:
    head = head_node().node_id
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ServiceError) as refused:
        launch.start(fake(listener.getsockname()[1]))
    assert "services of this cluster listen on its head node, " in str(refused.value)
    with launch.start(fake(free_port())) as service, Client(service.url) as client:
        assert "reached from the head node only, and the cluster has 2 nodes: set it to 0.0.0.0" in service.notes[0]
        # A supervisor on a node that does not reach the address: nothing listens there, and nothing is wrong.
        assert Supervisor(fake(1), "http://127.0.0.1:1")._look() is False
        found = {name.partition(":")[2]: node_of(actor) for name, actor in actors_of("two").items()}
        assert found.pop("RewardService") == head
        assert set(found) == {"Engine:0", "Engine:1"}
        assert len(set(found.values())) == 2
        assert node_of(ray.get_actor(keeper_name("two"), launch.NAMESPACE)) == head
        rewards = [reward.settled for reward in client.judge([GROUP])[0].rewards]
        end_session(nodes)
        again = client.judge([GROUP])[0].rewards
        assert [reward.settled for reward in again] == rewards
        assert all(reward.votes_parsed == 4 for reward in again)


@pytest.mark.usefixtures("nodes")
def test_a_job_whose_actors_could_not_reach_the_service_is_refused_before_anything_loads() -> None:
    pytest.importorskip("openrlhf")
    command = [sys.executable, "-m", "grm_plugin.integrations.openrlhf.train_ppo_ray"]
    flags = ["--grm.config", str(ROOT / "configs" / "dry_run.yaml"), "--actor.model_name_or_path", "policy"]
    groups = ["--rollout.n_samples_per_prompt", "4", "--algo.advantage.estimator", "group_norm"]
    refused = subprocess.run(command + flags + groups, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 2, refused.stderr
    assert "service.host 127.0.0.1 is reached from the head node only, and the cluster has 2 nodes" in refused.stderr
