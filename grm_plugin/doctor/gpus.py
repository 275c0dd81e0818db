"""Checks whether there are enough free GPUs for the replicas of the GRM and the meta RM."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from grm_plugin._util.nvidia_gpus import local_gpus
from grm_plugin.config import Config
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.doctor.on_cpu import check_on_cpu
from grm_plugin.engines.model_files import vllm_models
from grm_plugin.serving.ray.cluster_address import listens
from grm_plugin.serving.ray.gpus import GPUHolder, GPUs, needed_gpus, shortage

RAY_DEADLINE_S = 50.0
"""For a Ray cluster to answer."""

BUSY = 0.1
"""A GPU is not free for vLLM if other processes use a larger share of its memory than this."""


def check_gpus(config: Config) -> list[Finding]:
    """Whether the GPUs of the Ray cluster on which the service would start suffice, and are free.

    That is the cluster of RAY_ADDRESS. Without RAY_ADDRESS the service would start a private cluster with the GPUs of
    this machine: then those are counted. No cluster is started here.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    if not vllm_models(config):
        return [ok("gpus", "none needed by this configuration")]
    if not sum(needed_gpus(config, cluster_gpus=1)):
        return check_on_cpu(config)
    if address in ("", "local"):
        return _on_this_machine(config)
    if not listens(address):
        return [error("gpus", f"nothing listens at RAY_ADDRESS {address}", _start_ray())]
    try:
        gpus = _gpus_in_ray()
    except subprocess.TimeoutExpired:
        return [error("gpus", f"Ray at {address} does not answer within {RAY_DEADLINE_S:g} s", _start_ray())]
    except subprocess.CalledProcessError as failure:
        reason = (failure.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [error("gpus", f"no Ray cluster at RAY_ADDRESS {address} ({reason})", _start_ray())]
    needed = needed_gpus(config, gpus.total)
    return [_in_ray(needed, gpus)] if sum(needed) else check_on_cpu(config)


def _on_this_machine(config: Config) -> list[Finding]:
    devices = local_gpus()
    needed = needed_gpus(config, len(devices))
    if not sum(needed):
        return check_on_cpu(config)
    if sum(needed) > len(devices):
        return [
            error(
                "gpus",
                f"{sum(needed)} GPU(s) are needed ({' + '.join(map(str, needed))}) and this machine has {len(devices)}",
                "set RAY_ADDRESS to a cluster with more, or lower replicas or tensor_parallel_size",
            )
        ]
    busy = [gpu.name for gpu in devices if gpu.used > BUSY * gpu.total]
    if len(devices) - len(busy) < sum(needed):
        return [
            warning(
                "gpus",
                f"{sum(needed)} of {len(devices)} GPU(s) are needed; other processes use memory of {', '.join(busy)}",
                "free them (nvidia-smi names the processes), or choose others by CUDA_VISIBLE_DEVICES",
            )
        ]
    return [ok("gpus", f"{sum(needed)} needed, {len(devices) - len(busy)} of {len(devices)} free on this machine")]


def _in_ray(needed: list[int], gpus: GPUs) -> Finding:
    problem = shortage(needed, gpus)
    if problem:
        return error("gpus", problem)
    return ok("gpus", f"{sum(needed)} needed, {gpus.free:g} of {gpus.total:g} free in Ray")


def _gpus_in_ray() -> GPUs:
    """The GPUs of the cluster of RAY_ADDRESS.

    A child process asks for them, because it can be ended when the cluster does not answer; an attempt to connect
    cannot.
    """
    command = [sys.executable, "-m", "grm_plugin.doctor.ray_probe"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RAY_DEADLINE_S, check=True)
    printed = json.loads(done.stdout.splitlines()[-1])
    holders = tuple(GPUHolder(**holder) for holder in printed["holders"])
    return GPUs(printed["total"], tuple(printed["free_per_node"]), holders, tuple(printed["per_node"]))


def _start_ray() -> str:
    return "run `ray start --head`, correct RAY_ADDRESS, or unset it (then a private cluster is made)"
