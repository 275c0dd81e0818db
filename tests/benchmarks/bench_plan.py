"""The seconds that `grm-plugin plan` foresees, beside those of a real service on Ray with fake replicas.

    python tests/benchmarks/bench_plan.py            # three minutes on two cores

The fake engine answers each prompt after `delay_s`, so many at a time: what a step takes is known but for what the
service itself costs. Each row is a shape of a step; the last column says how far the plan is off.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from grm_plugin.client import Client
from grm_plugin.config.loading import load_config
from grm_plugin.plan.simulation import simulate
from grm_plugin.serving.capacity import Speed, Tokens, held_at_once, seconds, step_of
from grm_plugin.serving.ray import launch
from grm_plugin.types import Group, Message
from support.ray_cluster import free_port, ray_cluster

DELAY_S = 1.0
SHAPES = ((64, 8, 8, 4, 16, 2), (128, 4, 8, 4, 32, 2), (32, 8, 16, 8, 8, 3), (100, 5, 6, 4, 24, 1))
"""Prompts, responses of each, k, list size, prompts that a replica answers at a time, replicas."""


def main() -> None:
    print(f"{'prompts x n, k, list, at once, replicas':<42} {'planned':>8} {'simulated':>9} {'measured':>8} {'off':>6}")
    with tempfile.TemporaryDirectory() as folder, ray_cluster(Path(folder) / "head.log") as (address, _):
        os.environ["RAY_ADDRESS"] = address
        for shape in SHAPES:
            measure(*shape)


def measure(prompts: int, n: int, k: int, list_size: int, at_once: int, replicas: int) -> None:
    config = load_config(
        {
            "engine": {"type": "fake", "delay_s": DELAY_S, "replicas": replicas, "max_concurrency": at_once},
            "sampling": {"k": k},
            "judge": {"list_size": list_size},
            "group": {"n": n},
            "service": {"port": free_port()},
        }
    )
    step = step_of(config, prompts, n, Tokens(1.0, 1.0))
    speed = Speed(DELAY_S, 0.0, held_at_once(config, step, None, None))
    answers = tuple(" ".join(f"word{word}" for word in range(5 * number + 3)) for number in range(n))
    groups = [Group((Message("user", f"Question {number}?"),), answers) for number in range(prompts)]
    with launch.start(config) as service, Client(service.url) as client:
        client.judge(groups[:1])  # connections and imports
        began = time.monotonic()
        client.judge(groups)
        took = time.monotonic() - began
    planned, simulated = seconds(step, speed, replicas), simulate(step, speed, replicas).last_s
    name = f"{prompts} x {n}, {k}, {list_size}, {at_once}, {replicas}"
    print(f"{name:<42} {planned:>8.2f} {simulated:>9.2f} {took:>8.2f} {planned / took - 1:>+6.0%}", flush=True)


if __name__ == "__main__":
    main()
