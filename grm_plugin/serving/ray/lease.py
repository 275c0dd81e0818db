"""A lease lasts as long as the process that took it: by it the keeper notices the end of the service's owner."""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that started a service."""

    host: str
    pid: int


def this_process() -> Owner:
    """This process as an owner."""
    return Owner(socket.gethostname(), os.getpid())


class Lease:
    """An actor that does nothing. Ray ends it with the process that created it, even one that was killed by SIGKILL."""

    def hold(self) -> None:
        """Never returns; a call to it fails when the lease ends."""
        threading.Event().wait()


def new_lease() -> Any:
    """A lease that lasts as long as this process."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # On this process's node: the end of another node must not take the service down. Nor does the lease take a place in
    # a placement group that this process is in.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Lease).options(num_cpus=0, scheduling_strategy=here).remote()
