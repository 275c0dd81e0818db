"""Breaks the service's processes, and mends them. Only processes of the test's own cluster are ever signalled."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

from support.ray_cluster import actor_pids, session_processes, vllm_processes


class Damage:
    """Breaks and mends the processes of one service.

    Args:
        session: the Unix session of the cluster; no process outside of it is touched.
        faults: the folder that the fake engines read (`support.engine_faults`).
        log: gets a line for everything that is done.
    """

    def __init__(
        self, session: int, service: str, faults: Path, rng: random.Random, log: Callable[[str], None]
    ) -> None:
        self._session = session
        self._service = service
        self._faults = faults
        self._rng = rng
        self._log = log
        self._frozen: list[int] = []

    def pids(self, what: str) -> list[int]:
        """Processes of the service's actors: Engine, MetaRM, RewardService, or keeper.

        Ray says which they are: a process's title does not always.
        """
        return sorted(actor_pids(self._session, "Keeper" if what == "keeper" else f" {self._service}:{what}"))

    def kill(self, what: str, count: int = 1) -> None:
        """kill -9."""
        for pid in self._some(what, count):
            self._signal(pid, signal.SIGKILL, f"kill -9 {what}")

    def kill_vllm(self) -> None:
        """kill -9 of the process in which a replica's vLLM runs."""
        pid = self._rng.choice(sorted(vllm_processes(self._session)))
        self._signal(pid, signal.SIGKILL, "kill -9 vLLM's engine core")

    def freeze(self, what: str, count: int = 1) -> None:
        """SIGSTOP, until `mend`."""
        for pid in self._some(what, count):
            self._signal(pid, signal.SIGSTOP, f"freeze {what}")
            self._frozen.append(pid)

    def spoil(self, what: str, fault: str, count: int = 1) -> None:
        """Make replicas of the fake engines misbehave, until `mend`."""
        for pid in self._some(what, count):
            fresh = self._faults / f".{pid}"
            fresh.write_text(fault)
            fresh.rename(self._faults / str(pid))
            self._log(f"{what} {pid}: {fault}")

    def mend(self) -> None:
        """Take all faults away, and let what was frozen go on. Ray replaces what was killed."""
        for file in self._faults.iterdir():
            file.unlink()
        for pid in self._frozen:
            if pid in session_processes(self._session):
                self._signal(pid, signal.SIGCONT, "go on")
        self._frozen.clear()

    def _some(self, what: str, count: int) -> list[int]:
        pids = self.pids(what)
        if not pids:
            self._log(f"{what}: no process at the moment")
        return self._rng.sample(pids, min(count, len(pids)))

    def _signal(self, pid: int, number: signal.Signals, what: str) -> None:
        try:
            os.kill(pid, number)
            self._log(f"{what} {pid}")
        except ProcessLookupError:
            self._log(f"{what} {pid}: it has just ended")
