"""A lease: as long as its owner lives, so does what watches it."""

from __future__ import annotations

import threading
from typing import Any


class Lease:
    """An actor that does nothing. Ray ends it with the process that created it, even after kill -9."""

    def hold(self) -> None:
        """Never returns; the call fails when the lease is over."""
        threading.Event().wait()


def new_lease() -> Any:
    """A lease owned by this process."""
    import ray

    # "DEFAULT" keeps the actor out of the placement group of an actor that asks.
    return ray.remote(Lease).options(num_cpus=0, scheduling_strategy="DEFAULT").remote()
