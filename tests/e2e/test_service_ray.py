"""The service as users run it: a real Ray cluster, real vLLM, the nano GRM; one service for most tests.

The cluster claims to have two GPUs and the CPU profile is off, so that GPUs are reserved as on a GPU machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.doctor.gpus import check_gpus
from grm_plugin.errors import ServiceError
from grm_plugin.judging.running_stats import RunningStats
from support.factories import make_config
from support.paths import ROOT
from support.ray_cluster import (
    ANSWER_DEADLINE_S,
    RAY,
    actor_pids,
    end_session,
    free_port,
    get,
    grm_processes,
    ray_cluster,
    vllm_processes,
    wait_for,
)

ray = pytest.importorskip("ray")
pytest.importorskip("vllm")

from grm_plugin.serving.ray import launch  # noqa: E402
from grm_plugin.serving.ray.gpus import cluster_gpus  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


NANO = ROOT / "configs" / "nano_cpu.yaml"
GRM = ROOT / "examples" / "nano" / "models" / "grm"
GRM_PLUGIN = Path(sys.executable).parent / "grm-plugin"
START_DEADLINE_S = 200.0
GONE_DEADLINE_S = 60.0
REPLACED_DEADLINE_S = 120.0
CUTS_HALF = 70
"""Tokens: the nano GRM's critiques of two short responses have some 60 of them, or some 78."""
COLOURS = {
    "groups": [
        {
            "messages": [{"role": "user", "content": "Name three colours, separated by commas."}],
            "responses": ["red, green, blue", "no"],
        }
    ]
}


def nano(**overrides: str) -> Config:
    """The nano configuration with overrides of its `service` section, and a way to say others: engine__replicas."""
    keys = {key.replace("__", ".") if "__" in key else f"service.{key}": value for key, value in overrides.items()}
    return load_config(NANO, keys)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    with pytest.MonkeyPatch.context() as environ:
        environ.delenv("GRM_CPU", raising=False)
        environ.setenv("HF_HUB_OFFLINE", "1")  # before the cluster starts: its workers have its environment
        with ray_cluster(tmp_path_factory.mktemp("ray") / "head.log", num_gpus=2) as (address, session):
            environ.setenv("RAY_ADDRESS", address)
            yield address, session
            ray.shutdown()


@pytest.fixture(scope="module")
def service(cluster: tuple[str, int]) -> Iterator[launch.ServiceHandle]:
    with launch.start(nano(port=str(free_port()), ready_timeout_s=f"{START_DEADLINE_S:g}")) as handle:
        yield handle
    wait_for(lambda: not grm_processes(cluster[1]), GONE_DEADLINE_S, "no GRM process after stop")
    gpus_are_free(2)


def gpus_are_free(count: int) -> None:
    """Ray learns a moment late that a process has given its GPU back."""
    wait_for(lambda: cluster_gpus().free == count, GONE_DEADLINE_S, f"{count} free GPU(s)")


def post(url: str, body: object) -> httpx.Response:
    return httpx.post(url, json=body, timeout=REPLACED_DEADLINE_S, trust_env=False)


def votes(reply: httpx.Response) -> int:
    assert reply.status_code == 200, reply.text
    rewards = reply.json()["judgements"][0]["rewards"]
    return min(reward["votes_parsed"] for reward in rewards)


def test_doctor_counts_the_gpus_of_the_cluster_that_the_service_would_use(cluster: tuple[str, int]) -> None:
    for tensor_parallel, level, words in ((2, "ok", "2 needed, 2 of 2 free in Ray"), (4, "error", "needs 4 GPU")):
        config = make_config(engine__type="vllm", engine__model="a/b", engine__tensor_parallel_size=tensor_parallel)
        (found,) = check_gpus(config)
        assert (found.level, words in found.message) == (level, True), found


def test_it_is_ready_and_says_what_it_is(service: launch.ServiceHandle) -> None:
    assert get(f"{service.url}/health").status_code == 200
    ready = get(f"{service.url}/ready").json()
    assert (ready["ready"], ready["problem"]) == (True, "")
    info = get(f"{service.url}/info").json()
    assert info["model"].endswith("examples/nano/models/grm")
    assert info["k"] == 8


def test_groups_are_scored_with_their_critiques(service: launch.ServiceHandle) -> None:
    reply = post(f"{service.url}/v1/score", COLOURS)
    assert votes(reply) >= 4
    judgement = reply.json()["judgements"][0]
    assert {tuple(critique["order"]) for critique in judgement["critiques"]} == {(0, 1), (1, 0)}
    assert all(0 <= reward["value"] <= 1 for reward in judgement["rewards"])


def test_openrlhf_calls_of_one_prompt_are_judged_together(service: launch.ServiceHandle) -> None:
    prompt = "<|im_start|>user\nName two animals, separated by commas.<|im_end|>\n<|im_start|>assistant\n"
    bodies = [
        {"query": [prompt + response], "prompts": [prompt], "labels": [""]} for response in ("cat, dog", "a", "b", "c")
    ]
    groups = get(f"{service.url}/info").json()["counters"]["groups"]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda body: post(f"{service.reward_url}?n=4", body), bodies))
    assert [len(reply.json()["rewards"]) for reply in replies] == [1, 1, 1, 1]
    assert all(reply.json()["extra_logs"]["grm_fallback"] == [0.0] for reply in replies)
    assert get(f"{service.url}/info").json()["counters"]["groups"] == groups + 1


def test_status_tells_where_it_runs_and_how_full_it_is(service: launch.ServiceHandle, cluster: tuple[str, int]) -> None:
    """As a user asks, in a process of its own. Some 20 s with the frozen replica, which gets its work back."""

    def told(*options: str) -> tuple[int, dict[str, Any]]:
        command = [str(GRM_PLUGIN), "status", "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_DEADLINE_S, check=False)
        [found] = json.loads(done.stdout)["services"]
        return done.returncode, found

    post(f"{service.url}/v1/score", COLOURS)
    code, found = told()
    [replica] = found["replicas"]
    assert (code, found["problem"], found["url"], found["name"]) == (0, "", service.url, "grm")
    assert found["owner"] == f"process {os.getpid()} on {socket.gethostname()}"
    assert (found["lifetime"], found["node"], found["samples"]) == ("job", socket.gethostname(), 0)
    assert [replica["pid"]] == actor_pids(cluster[1], "grm:Engine")
    assert (replica["name"], replica["state"], len(replica["gpus"])) == ("Engine:0", "ready", 1)
    assert (replica["lists"], replica["requests"]) == (0, 0)
    assert 0 <= replica["kv_cache"] < 1
    os.kill(replica["pid"], signal.SIGSTOP)
    try:
        code, found = told("--timeout", "3")
    finally:
        os.kill(replica["pid"], signal.SIGCONT)
    assert (code, found["replicas"][0]["state"]) == (1, "not answering")
    wait_for(lambda: told()[0] == 0, REPLACED_DEADLINE_S, "the replica that goes on")


def test_a_wrong_payload_names_the_field(service: launch.ServiceHandle) -> None:
    reply = post(service.reward_url, {"query": "no list", "prompts": []})
    assert reply.status_code == 422
    assert "query" in reply.text


def test_it_answers_as_an_actor_too(service: launch.ServiceHandle) -> None:
    from grm_plugin.wire.schemas import ScoreReply, ScoreRequest

    actor = ray.get_actor(f"{service.name}:RewardService", "grm_plugin")
    reply = ray.get(actor.judge_groups.remote(ScoreRequest.model_validate(COLOURS)), timeout=60)
    assert isinstance(reply, ScoreReply)
    assert len(reply.judgements[0].rewards) == 2


def test_the_metrics_tell_how_the_replicas_are(service: launch.ServiceHandle) -> None:
    def shown() -> bool:
        with suppress(httpx.TransportError):
            return 'grm_replicas{deployment="Engine",state="RUNNING"} 1.0' in get(f"{service.url}/metrics").text
        return False

    wait_for(shown, 60.0, "a running Engine replica in the metrics")


def test_there_is_one_service_of_a_name(service: launch.ServiceHandle) -> None:
    config = nano(port="1")
    with pytest.raises(ServiceError, match="service named 'grm' is on this cluster already"):
        launch.start(config)
    assert launch.attach(config) == service
    assert launch.start_or_attach(config) == service
    assert launch.attach(nano(name="another")) is None
    assert launch.stop("another") is False


def test_started_inside_a_placement_group_it_is_not_captured(service: launch.ServiceHandle) -> None:
    """OpenRLHF's rollout actors capture what their children ask for; a captured service would wait for GPUs forever."""
    from ray._private import state
    from ray.core.generated import gcs_pb2
    from ray.util.placement_group import placement_group, remove_placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    port = free_port()

    class Rollout:  # in here, so that Ray ships the class itself: its workers cannot import this module
        def start(self) -> str:
            data = {"engine": {"type": "fake"}, "sampling": {"k": 4}, "service": {"name": "inside", "port": port}}
            return launch.start(load_config(data)).url

    group = placement_group([{"CPU": 1}])
    ray.get(group.ready(), timeout=60)
    capture = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    rollout = ray.remote(Rollout).options(num_cpus=1, scheduling_strategy=capture).remote()
    try:
        url = ray.get(rollout.start.remote(), timeout=120)
        assert votes(post(f"{url}/v1/score", COLOURS)) == 4
        rows = state.state._connect_and_get_accessor().get_actor_table(None, None)
        actors = [gcs_pb2.ActorTableData.FromString(row) for row in rows]
        alive = [actor for actor in actors if actor.state == gcs_pb2.ActorTableData.ALIVE]
        captured = [actor.class_name.rpartition(".")[2] for actor in alive if actor.placement_group_id]
        assert captured == ["Rollout"]
        assert sum(actor.class_name == "Keeper" for actor in alive) == 2
    finally:
        ray.kill(rollout)
        remove_placement_group(group)
    wait_for(lambda: not launch.exists("inside"), GONE_DEADLINE_S, "the actor's service ends with it")


def test_a_lease_is_on_the_node_of_its_owner(cluster: tuple[str, int], tmp_path: Path) -> None:
    """The end of any other node would take the service down. Some 10 s, for a second node."""

    class Owner:  # in here, so that Ray ships the class itself
        def lease(self) -> tuple[str, str]:
            from ray._private import state
            from ray.core.generated import gcs_pb2

            from grm_plugin.serving.ray.lease import new_lease

            self._lease = new_lease()
            while True:
                accessor = state.state._connect_and_get_accessor()
                row = gcs_pb2.ActorTableData.FromString(accessor.get_actor_info(self._lease._actor_id))
                if row.state == gcs_pb2.ActorTableData.ALIVE:
                    return row.node_id.hex(), ray.get_runtime_context().get_node_id()

    command = [str(RAY), "start", f"--address={cluster[0]}", "--block", "--num-cpus=1", '--resources={"second": 4}']
    with (tmp_path / "node.log").open("wb") as out:
        node = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        owners = [ray.remote(Owner).options(num_cpus=0, resources={"second": 1}).remote() for _ in range(2)]
        for lease, owner in ray.get([owner.lease.remote() for owner in owners], timeout=120):
            assert lease == owner
    finally:
        end_session(node)


def test_too_few_gpus_are_counted_and_their_holder_is_named(service: launch.ServiceHandle) -> None:
    with pytest.raises(ServiceError) as error:
        launch.start(nano(name="greedy", port=str(free_port()), engine__replicas="2"))
    assert "needs 2 GPU(s) (1 + 1" in str(error.value)
    assert "1 of 2 are free" in str(error.value)
    assert "Engine" in str(error.value)
    assert launch.attach(nano(name="greedy")) is None


def test_a_model_that_does_not_load_ends_the_start_with_its_reason(service: launch.ServiceHandle) -> None:
    with pytest.raises(ServiceError, match="vLLM cannot start nobody/nothing"):
        launch.start(nano(name="broken", port=str(free_port()), engine__model="nobody/nothing"))
    gpus_are_free(1)


def test_a_model_without_weights_ends_the_start_with_what_its_process_logged(
    service: launch.ServiceHandle, tmp_path: Path
) -> None:
    """In vLLM's own process, whose words go to the log of a Ray worker. Some 25 s."""
    shutil.copytree(GRM, tmp_path / "grm", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ServiceError, match="Cannot find any model weights") as error:
        launch.start(nano(name="broken", port=str(free_port()), engine__model=str(tmp_path / "grm")))
    assert "the weights are missing" in str(error.value)
    log = re.search(r"\S*/logs/worker-\S+\.out", str(error.value))
    assert log is not None, error.value
    assert "Cannot find any model weights" in Path(log[0]).read_text()
    gpus_are_free(1)


def test_a_killed_replica_costs_no_vote(service: launch.ServiceHandle, cluster: tuple[str, int]) -> None:
    (before,) = vllm_processes(cluster[1])
    (replica,) = actor_pids(cluster[1], "grm:Engine")
    os.kill(replica, signal.SIGKILL)
    assert votes(post(f"{service.url}/v1/score", COLOURS)) >= 4
    (after,) = vllm_processes(cluster[1])
    assert after != before, "the dead replica's vLLM process is left"


def test_a_killed_vllm_process_costs_no_vote(service: launch.ServiceHandle, cluster: tuple[str, int]) -> None:
    (engine,) = vllm_processes(cluster[1])
    os.kill(engine, signal.SIGKILL)
    assert votes(post(f"{service.url}/v1/score", COLOURS)) >= 4


class Second(NamedTuple):
    """A service beside another one: its owner, its address, and the processes that came with it."""

    owner: subprocess.Popen[bytes]
    url: str
    pids: set[int]


@pytest.fixture(scope="module")
def second(
    service: launch.ServiceHandle, cluster: tuple[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Second]:
    """On the same cluster, of an owner that can be killed. Half of its critiques are cut off, and asked for scores."""
    before = set(grm_processes(cluster[1]))
    traces = tmp_path_factory.mktemp("second") / "traces.db"
    options = {"service.name": "second", "service.port": free_port(), "trace.path": traces}
    options |= {"sampling.k": 16, "sampling.max_tokens": CUTS_HALF, "sampling.force_answer": "true"}
    with _cli(NANO, *(word for key, value in options.items() for word in (f"--grm.{key}", str(value)))) as (owner, out):
        wait_for(
            lambda: "GRM service at" in out.read_text() or owner.poll() is not None,
            START_DEADLINE_S,
            "the second service",
        )
        assert owner.poll() is None, out.read_text()
        url = next(word for word in out.read_text().split() if word.startswith("http://"))
        yield Second(owner, url, set(grm_processes(cluster[1])) - before)


def test_critiques_that_are_cut_keep_their_votes(second: Second) -> None:
    """And say so: in the reply, in what OpenRLHF logs and on the page of traces."""
    judgement = post(f"{second.url}/v1/score", COLOURS).json()["judgements"][0]
    assert any(critique["forced"] for critique in judgement["critiques"])
    for reward in judgement["rewards"]:
        assert reward["votes_asked"] - reward["votes_parsed"] <= 3
        assert reward["votes_forced"] > 0
    prompt = "<|im_start|>user\nName two animals, separated by commas.<|im_end|>\n<|im_start|>assistant\n"
    queries = {"query": [prompt + "cat, dog", prompt + "a"], "prompts": [prompt] * 2}
    logs = post(f"{second.url}/get_reward?n=2", queries).json()["extra_logs"]
    assert all(share > 0 for share in logs["grm_forced"])
    assert logs["grm_fallback"] == [0.0, 0.0]
    wait_for(lambda: get(f"{second.url}/live").json()["newest"] == 2, 30.0, "both groups on the page")
    for group in (1, 2):
        page = get(f"{second.url}/traces/{group}").text
        assert '<span class="mark">forced</span>' in page
        assert "Cut off here; asked for its scores" in page


def test_a_service_dies_with_its_killed_owner(
    second: Second, service: launch.ServiceHandle, cluster: tuple[str, int]
) -> None:
    """On a cluster that stays, beside another service."""
    assert votes(post(f"{second.url}/v1/score", COLOURS)) >= 4
    assert second.pids
    second.owner.send_signal(signal.SIGKILL)
    wait_for(
        lambda: not second.pids & set(grm_processes(cluster[1])), GONE_DEADLINE_S, "no GRM process of a killed owner"
    )
    assert votes(post(f"{service.url}/v1/score", COLOURS)) >= 4


def test_a_private_cluster_ends_with_its_killed_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with _cli(NANO, "--grm.service.port", str(free_port())) as (owner, out):
        wait_for(
            lambda: "GRM service at" in out.read_text() or owner.poll() is not None,
            START_DEADLINE_S,
            "the private service",
        )
        assert owner.poll() is None, out.read_text()
        assert vllm_processes(owner.pid), out.read_text()
        owner.send_signal(signal.SIGKILL)
        wait_for(lambda: not grm_processes(owner.pid), GONE_DEADLINE_S, "no GRM process of a killed owner")


def test_a_port_in_use_is_said_with_the_key_to_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        _cli(NANO, "--grm.service.port", str(listener.getsockname()[1])) as (owner, out),
    ):
        assert owner.wait(START_DEADLINE_S) == 2
        last = out.read_text().strip().splitlines()[-1]
        assert last.startswith(f"grm-plugin: cannot listen on 127.0.0.1:{listener.getsockname()[1]}")
        assert "--grm.service.port" in last


SEVERAL = 3


@pytest.fixture(scope="module")
def several(cluster: tuple[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.ServiceHandle]:
    """A service of several processes, which judges by a rule."""
    folder = tmp_path_factory.mktemp("several")
    data = {
        "engine": {"type": "fake", "replicas": 1, "delay_s": 0.2},
        "sampling": {"k": 4},
        "normalize": {"method": "running", "state_path": str(folder / "state.json")},
        "group": {"n": 4},
        "trace": {"path": str(folder / "traces.db")},
        "service": {"name": "several", "port": free_port(), "replicas": SEVERAL},
    }
    with launch.start(load_config(data)) as handle:
        yield handle
        pids = service_pids(cluster[1])
        learnt = total(handle.url, "groups") * 4
    wait_for(lambda: not set(pids) & set(grm_processes(cluster[1])), GONE_DEADLINE_S, "no process of a stopped service")
    assert RunningStats.load(folder / "state.json").count >= learnt  # a repeated request may have been judged twice


def service_pids(session: int) -> list[int]:
    return actor_pids(session, " several:RewardService")


def total(url: str, name: str) -> float:
    return float(get(f"{url}/info").json()["counters"][name])


def rewards_of_samples(url: str, prompts: list[str], texts: list[str]) -> list[float]:
    """Each sample is a call on a connection of its own, which is repeated where it breaks, as OpenRLHF's is."""

    def reward(prompt: str, text: str) -> float:
        for _ in range(20):
            with suppress(httpx.TransportError):
                reply = post(f"{url}/get_reward", {"query": [prompt + text], "prompts": [prompt]})
                assert reply.status_code == 200, reply.text
                assert reply.json()["extra_logs"]["grm_fallback"] == [0.0]
                return float(reply.json()["rewards"][0])
        raise AssertionError("no answer")

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(reward, *zip(*((prompt, text) for prompt in prompts for text in texts), strict=True)))


TEXTS = [" ".join(f"word{number}" for number in range(7 * length)) for length in (1, 2, 3, 4)]


def test_samples_meet_in_one_of_several_processes(several: launch.ServiceHandle, cluster: tuple[str, int]) -> None:
    assert len(service_pids(cluster[1])) == SEVERAL
    prompts = [f"Question {number}?" for number in range(12)]
    rewards = rewards_of_samples(several.url, prompts, TEXTS)
    assert all(a < b for start in range(0, len(rewards), 4) for a, b in pairwise(rewards[start : start + 4]))
    answering = {get(f"{several.url}/info").json()["pid"] for _ in range(30)}
    assert answering == set(service_pids(cluster[1]))
    for _ in range(SEVERAL):
        counters = get(f"{several.url}/info").json()["counters"]
        assert (counters["groups"], counters["samples"], counters["incomplete_groups"]) == (12, 48, 0)
        assert "grm_groups_total 12.0" in get(f"{several.url}/metrics").text
    wait_for(
        lambda: get(f"{several.url}/live").json()["newest"] == 12, 30.0, "the traces of all processes on each page"
    )


def test_a_killed_process_of_several_loses_no_reward(several: launch.ServiceHandle, cluster: tuple[str, int]) -> None:
    before = service_pids(cluster[1])
    prompts = [f"Another question {number}?" for number in range(60)]
    with ThreadPoolExecutor(1) as background:
        load = background.submit(rewards_of_samples, several.url, prompts, TEXTS)
        time.sleep(0.6)
        os.kill(before[1], signal.SIGKILL)
        rewards = load.result(REPLACED_DEADLINE_S)
    assert len(rewards) == 240
    wait_for(lambda: len(set(service_pids(cluster[1])) - {before[1]}) == SEVERAL, REPLACED_DEADLINE_S, "a new process")
    wait_for(lambda: get(f"{several.url}/ready").status_code == 200, REPLACED_DEADLINE_S, "the service is ready again")


@contextmanager
def _cli(config: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`grm-plugin serve` in a Unix session of its own, and the file with its output."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.txt"
        with out.open("wb") as stream:
            command = [str(GRM_PLUGIN), "serve", "--config", str(config), *arguments]
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield process, out
        finally:
            end_session(process)
