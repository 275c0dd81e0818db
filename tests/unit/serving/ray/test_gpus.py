"""How many GPUs a service needs, and what is said where there are too few; without a cluster (tests/e2e has one)."""

from __future__ import annotations

import pytest

from grm_plugin.config import VLLMConfig
from grm_plugin.config.loading import load_config
from grm_plugin.serving.ray import gpus
from grm_plugin.serving.ray.gpus import GPUHolder, GPUs, gpus_per_replica, needed_gpus, shortage


def test_needs_are_counted_per_replica_of_both_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "is_cpu_build", lambda: False)
    config = load_config(
        {
            "engine": {"type": "vllm", "model": "a/b", "tensor_parallel_size": 2, "replicas": 2},
            "meta_rm": {"model": "a/c", "replicas": 3},
        }
    )
    assert needed_gpus(config, 8) == [2, 2, 1, 1, 1]


def test_engines_elsewhere_need_none() -> None:
    assert needed_gpus(load_config({"engine": {"type": "fake"}}), 8) == []


@pytest.mark.parametrize(
    ("cpu_build", "cluster", "profile", "expected"),
    [
        (True, 0, "", 0),
        (True, 4, "1", 0),  # the fake GPUs of the CPU profile
        (True, 4, "", 2),
        (False, 0, "", 2),  # there are too few, which `shortage` reports
        (False, 4, "1", 2),  # the CPU profile does nothing to a CUDA build of vLLM
    ],
)
def test_only_a_cpu_build_may_do_without_gpus(
    monkeypatch: pytest.MonkeyPatch, cpu_build: bool, cluster: float, profile: str, expected: int
) -> None:
    monkeypatch.setattr(gpus, "is_cpu_build", lambda: cpu_build)
    monkeypatch.setenv("GRM_CPU", profile)
    assert gpus_per_replica(VLLMConfig(model="a/b", tensor_parallel_size=2), cluster) == expected


@pytest.mark.parametrize(
    ("needed", "free"),
    [([], ()), ([0], ()), ([1, 1], (2.0,)), ([1, 1], (1.0, 1.0)), ([2, 1, 1], (1.0, 3.0)), ([4, 2], (2.0, 4.0))],
)
def test_what_fits_is_no_shortage(needed: list[int], free: tuple[float, ...]) -> None:
    assert shortage(needed, GPUs(sum(free), free)) == ""


@pytest.mark.parametrize(
    ("needed", "free"), [([1], ()), ([2], (1.0, 1.0)), ([2, 2], (3.0, 1.0)), ([1], (0.5,)), ([1, 1, 1], (2.0,))]
)
def test_a_replica_must_fit_on_one_node(needed: list[int], free: tuple[float, ...]) -> None:
    assert shortage(needed, GPUs(sum(free), free))


def test_the_message_says_what_is_needed_free_and_held() -> None:
    gpus = GPUs(8, (1.0, 0.0), (GPUHolder("placement group vllm", 4), GPUHolder("actor Trainer (pid 7)", 3)))
    message = shortage([2, 1], gpus)
    assert "needs 3 GPU(s) (2 + 1" in message
    assert "1 of 8 are free (per node: 1 + 0)" in message
    assert "placement group vllm: 4, actor Trainer (pid 7): 3" in message
    assert "engine.replicas" in message


def test_a_replica_that_is_larger_than_any_node_is_called_so() -> None:
    message = shortage([8], GPUs(8, (4.0, 4.0), per_node=(4.0, 4.0)))
    assert "No node has the 8 GPUs of one replica, the largest has 4: lower tensor_parallel_size" in message
