"""Patch for Ray: OpenRLHF reserves GPUs for its actors, so the local cluster must pretend to have some."""

from __future__ import annotations

import functools
import os
from types import ModuleType
from typing import Any

from grm_plugin.cpu.device import profile_applies

FAKE_GPUS = "GRM_CPU_FAKE_GPUS"


def start_private_cluster(ray: ModuleType) -> None:
    """Make a plain `ray.init()` start a private cluster with fake GPUs (`GRM_CPU_FAKE_GPUS`, default 8).

    Without: the job waits for GPUs for ever, or joins a cluster that runs on the machine already. Nothing changes where
    the call names an address, or RAY_ADDRESS is set. Arguments of the caller are kept.
    """
    original = ray.init

    @functools.wraps(original)
    def init(address: str | None = None, **kwargs: Any) -> Any:
        if address is None and not os.environ.get("RAY_ADDRESS") and profile_applies():
            gpus = int(os.environ.get(FAKE_GPUS, "8"))
            # An actor with a GPU also reserves a CPU. More are claimed than a small machine has: the actors share them.
            private = {"num_gpus": gpus, "num_cpus": gpus + 2, "include_dashboard": False}
            return original(address="local", **{**private, **kwargs})
        return original(address, **kwargs)

    ray.init = init  # type: ignore[attr-defined]
