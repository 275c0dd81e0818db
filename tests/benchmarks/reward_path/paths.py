"""The paths, their rotation, and the measurements of each burst."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from reward_path.processes import Asked, Process, Tree, caller, engine_server, service, spent_s
from reward_path.texts import K, N

LATENCY_S = 0.25
RAY_REPLICAS = 2
NO_BOUND = 4096
"""`engine.max_concurrency`: the simulated engine has no bound."""

_COMMON = {"sampling": {"k": K}, "judge": {"list_size": N}, "group": {"n": N}}
FLOORS = ("executor", "instant", "bare_group", "bare_sample")
OURS = ("agent", "http", "client")
VERL = ("verl_sample", "verl_batch")


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst of one path: seconds of waiting, CPU seconds of the caller and of the service, rewards that are not
    what the texts say."""

    samples: int
    wall_s: float
    caller_cpu_s: float
    service_cpu_s: float
    wrong: int


@dataclass(slots=True)
class Route:
    """One way to a reward. `server` is None where what it calls is simulated and not counted."""

    name: str
    caller: Asked
    server: Process | None
    bursts: list[Burst] = field(default_factory=list)

    def measure(self, samples: int, seed: int) -> Burst:
        self.caller.ask("prepare", samples, seed)
        server_before = self.server.cpu_s() if self.server else {}
        caller_before = self.caller.cpu_s()
        wall_s = self.caller.ask("run")["wall_s"]
        caller_s = spent_s(caller_before, self.caller.cpu_s())
        server_s = spent_s(server_before, self.server.cpu_s()) if self.server else 0.0
        return Burst(samples, wall_s, caller_s, server_s, self.caller.ask("check")["wrong"])


def openai_config(engine_url: str) -> dict[str, object]:
    engine = {"type": "openai", "base_url": f"{engine_url}/v1", "model": "simulated", "max_concurrency": NO_BOUND}
    return {**_COMMON, "engine": engine}


def ray_config() -> dict[str, object]:
    engine = {"type": "fake", "replicas": RAY_REPLICAS, "delay_s": LATENCY_S, "max_concurrency": NO_BOUND}
    return {**_COMMON, "engine": engine}


def build(
    trees: Sequence[Tree], only: Callable[[str], bool], folder: Path, verl_python: Path | None, stack: ExitStack
) -> list[Route]:
    """All paths that `only` takes, running: floors first, then those of each tree on each engine."""
    here = trees[0]

    def started(process: tuple[Process, str]) -> tuple[Process, str]:
        stack.callback(process[0].end)
        return process

    _, engine_url = started(engine_server(here, folder, "engine", LATENCY_S))
    paths: list[Route] = []

    def add(name: str, kind: str, url: str, tree: Tree, server: Process | None, python: str = sys.executable) -> None:
        process = caller(kind, url, tree, folder / f"{name.replace('/', '_')}.log", python)
        stack.callback(process.end)
        paths.append(Route(name, process, server))
        print(f"  {name} is ready", flush=True)

    for name in filter(only, FLOORS):
        add(name, name, engine_url, here, None)
    if verl_python:
        for name in filter(only, VERL):
            add(name, name, engine_url, here, None, str(verl_python))
    for tree in trees:
        for engine, config in (("openai", openai_config(engine_url)), ("ray", ray_config())):
            names = [name for name in OURS if only(f"{tree.label}/{engine}/{name}")]
            if not names:
                continue
            server, url = started(service(tree, folder, engine, config))
            for name in names:
                add(f"{tree.label}/{engine}/{name}", name, url, tree, server)
    return paths


def rotate(paths: Iterable[Route], sizes: Sequence[int], rounds: int) -> None:
    """Measure every path once per round and size, one after another, the first round of the smallest size unmeasured.

    In turns, so that what else the machine does hits all of them alike.
    """
    paths = list(paths)
    seed = 0
    for turn in range(rounds + 1):
        for samples in sizes if turn else [min(sizes)]:
            for path in paths if turn % 2 else reversed(paths):
                seed += 1
                burst = path.measure(samples, seed)
                print(f"  {turn}/{rounds} {_line(path.name, burst)}", flush=True)
                if turn:
                    path.bursts.append(burst)


def _line(name: str, burst: Burst) -> str:
    cpu_ms = 1000 * (burst.caller_cpu_s + burst.service_cpu_s) / burst.samples
    wrong = f", {burst.wrong} WRONG" if burst.wrong else ""
    return f"{name} x {burst.samples}: {burst.samples / burst.wall_s:,.0f} rewards/s, {cpu_ms:.2f} ms CPU{wrong}"


@dataclass(frozen=True, slots=True)
class Measured:
    """Medians over the rounds of one path at one size. CPU in ms per reward."""

    samples: int
    wall_s: float
    per_s: float
    cpu_ms: float
    service_cpu_ms: float
    wrong: int
    rounds: int


def medians(path: Route, samples: int) -> Measured | None:
    """None where nothing was measured."""
    rows = [burst for burst in path.bursts if burst.samples == samples]
    if not rows:
        return None
    wall_s = statistics.median(row.wall_s for row in rows)
    return Measured(
        samples,
        wall_s,
        samples / wall_s,
        1000 * statistics.median(row.caller_cpu_s + row.service_cpu_s for row in rows) / samples,
        1000 * statistics.median(row.service_cpu_s for row in rows) / samples,
        sum(row.wrong for row in rows),
        len(rows),
    )
