"""Sets up a run, a Ray cluster with a service on it, and plays the load and the faults, phase by phase."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from callers import Caller, make_callers
from damage import Damage
from phases import Phase
from questions import N, Question
from tally import Tally

from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from support.engine_faults import environment
from support.ray_cluster import free_port, living_actors, ray_cluster

MENDED_DEADLINE_S = 300.0
"""Longest wait after a phase until all replicas are there again."""

THREADS = 1024
"""More than there are calls at once."""

READY_TIMEOUT_S = 40.0
"""Longer than the service, which asks its GRM for a critique of one token and gives up after 30 s."""

Ask = Callable[[int], Question]
"""Makes the question with this number."""


@dataclass(slots=True)
class Stage:
    """A running service with its callers, and the means to break it."""

    config: Config
    url: str
    session: int
    faults: Path
    callers: dict[str, Caller]

    async def play(self, phases: Sequence[Phase], ask: Ask, rewards_per_s: float, rng: random.Random) -> list[Tally]:
        """Run the phases, one after the other."""
        # OpenRLHF's function hook holds a thread per call; it brings its own where OpenRLHF loads it.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        tallies, number = [], 0
        for phase in phases:
            callers = itertools.cycle(item for item in self.callers.items() if item[0] not in phase.without)
            tally = Tally(phase.name)
            damage = self._damage(rng, tally.faults, time.monotonic())
            steps = sorted(phase.steps, key=lambda step: step[0])
            groups = phase.rewards // N
            calls: list[asyncio.Task[None]] = []
            for turn in range(groups):
                while steps and steps[0][0] <= turn / groups:
                    await asyncio.to_thread(steps.pop(0)[1], damage)
                name, caller = next(callers)
                question = ask(number)
                number += 1
                calls += [asyncio.create_task(tally.count(name, question, call)) for call in caller(question)]
                await asyncio.sleep(rng.expovariate(rewards_per_s / N))
            await asyncio.gather(*calls)
            await asyncio.to_thread(damage.mend)
            tallies.append(tally)
            tally.unmended = await asyncio.to_thread(self._wait_until_mended)
            print(_line(tally), flush=True)
            if tally.unmended:  # what follows would only count the same again
                break
        return tallies

    def _damage(self, rng: random.Random, done: list[str], began: float) -> Damage:
        def log(what: str) -> None:
            done.append(f"{time.monotonic() - began:.1f} s: {what}")

        return Damage(self.session, self.config.service.name, self.faults, rng, log)

    def _wait_until_mended(self) -> str:
        """Until every replica is there again; what is missing, if that takes too long."""
        wanted = {"Engine": self.config.engine.replicas, "RewardService": self.config.service.replicas}  # type: ignore[union-attr]
        if self.config.meta_rm is not None:
            wanted["MetaRM"] = self.config.meta_rm.replicas
        deadline = time.monotonic() + MENDED_DEADLINE_S
        while True:
            there = self._running()
            if there == wanted and self._answers():
                return ""
            if time.monotonic() > deadline:
                return f"{MENDED_DEADLINE_S:g} s after the phase {there} of {wanted} run, or the service is not ready"
            time.sleep(0.5)

    def _running(self) -> dict[str, int]:
        """Actors that have loaded what they need, by what they are."""
        prefix = f" {self.config.service.name}:"
        return dict(Counter(name.split(prefix)[1].split(":")[0] for name, _ in living_actors() if prefix in name))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/ready", timeout=READY_TIMEOUT_S).status_code == 200
        except httpx.TransportError:
            return False


def _line(tally: Tally) -> str:
    policy = f"{tally.by_policy} by policy {tally.policy_of or ''}".strip()
    counts = f"{tally.asked} asked, {policy}, {tally.failed} failed"
    times = f"median {tally.median_latency_s:.1f} s, worst {tally.worst_latency_s:.1f} s ({tally.worst_call})"
    return f"  {tally.name}: {counts}, {times}; {'; '.join(tally.faults) or 'no fault'}"


def fake_config(port: int, replicas: int = 1) -> Config:
    """Three Engine replicas and two of the meta RM, processes without a model; and `replicas` of the service."""
    return load_config(
        {
            "engine": {"type": "fake", "replicas": 3, "delay_s": 0.05},
            "meta_rm": {"type": "fake", "replicas": 2, "delay_s": 0.05},
            "sampling": {"k": 8},
            "group": {"n": N, "wait_s": 10},
            # No vote of the fake GRM gives this reward.
            "failure": {"policy": "constant", "constant": -1.0, "deadline_s": 80},
            "service": {"port": port, "replicas": replicas},
        }
    )


@contextmanager
def staged(make_config: Callable[[int], Config], folder: Path, num_gpus: int = 0) -> Iterator[Stage]:
    """Start a cluster and the service on it; both are gone at the end."""
    import ray

    from grm_plugin.serving.ray import launch

    faults = folder / "faults"
    faults.mkdir(parents=True)
    config = make_config(free_port())
    with ray_cluster(folder / "head.log", num_gpus, os.environ | environment(faults)) as (address, session):
        before = os.environ.get("RAY_ADDRESS")
        os.environ["RAY_ADDRESS"] = address
        try:
            with launch.start(config) as service:
                yield Stage(config, service.url, session, faults, make_callers(service.url, config))
        finally:
            ray.shutdown()
            if before is None:
                del os.environ["RAY_ADDRESS"]
            else:
                os.environ["RAY_ADDRESS"] = before
