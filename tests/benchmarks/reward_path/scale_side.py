"""1, 2, 4 ... workers of 16 rewards/s behind the service's core, all in this process.

    python -m reward_path.scale_side --workers 1 2 4 8 --seconds 8

A worker has 4 places and takes 0.25 s per critique, which is 16 critiques/s; with k = 8 on lists of 8 a reward takes
one critique. Twice as many groups as all places can hold are in flight. What falls short of 16 rewards/s per worker is
the core's: no HTTP and no Ray are in the way. Prints a line of JSON per number of workers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

from reward_path.simulated_engine import answer
from reward_path.texts import K, N, Question, questions, wrong

PLACES, LATENCY_S = 4, 0.25
PER_WORKER_S = PLACES / LATENCY_S
WARM_UP_S = 2.0


class Workers:
    """A `Generator` of so many workers: a request waits until one of their places is free."""

    def __init__(self, workers: int) -> None:
        self._places = asyncio.Semaphore(workers * PLACES)

    async def generate(self, prompt: Any, sampling: Any) -> list[Any]:
        async with self._places:
            await asyncio.sleep(LATENCY_S)
        return answer(prompt, sampling)

    async def check_health(self) -> None:
        """Always healthy."""


class Load:
    """Keeps groups in flight, and counts the rewards that come back."""

    def __init__(self, service: Any, groups: int, in_flight: int, seed: int) -> None:
        self._service = service
        self._questions = iter(questions(groups * N, seed))
        self._in_flight = in_flight
        self.rewards = self.wrong = 0
        self.last_at = 0.0
        """When the last group came back."""
        self.ended = False

    async def run(self) -> None:
        await asyncio.gather(*(self._one_after_another() for _ in range(self._in_flight)))

    async def _one_after_another(self) -> None:
        while not self.ended:
            question = next(self._questions, None)
            if question is None:
                return
            got = await self._judge(question)
            self.rewards += len(got)
            self.last_at = time.perf_counter()
            self.wrong += wrong(question.rewards, got)

    async def _judge(self, question: Question) -> list[float | None]:
        from grm_plugin.wire.schemas import ScoreRequest

        body = {"groups": [{"prompt": question.prompt, "responses": list(question.responses)}]}
        reply = await self._service.judge_groups(ScoreRequest.model_validate(body))
        return [reward.value for reward in reply.judgements[0].rewards]


async def measure(workers: int, seconds: float) -> dict[str, float]:
    """Rewards/s in a window of steady load, and what they cost."""
    from grm_plugin.config.loading import load_config
    from grm_plugin.serving.service import RewardService

    config = load_config({"engine": {"type": "fake"}, "sampling": {"k": K}, "judge": {"list_size": N}})
    service = RewardService(config, Workers(workers))
    groups = int(workers * PER_WORKER_S * (seconds + WARM_UP_S + 2) / N) + 2 * workers
    load = Load(service, groups, in_flight=2 + 2 * workers * PLACES // N, seed=workers)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(WARM_UP_S)
    # From group to group: critiques of many places end together, and a window that cuts between them would err by all.
    rewards, began, cpu_s = load.rewards, load.last_at, time.process_time()
    await asyncio.sleep(seconds)
    judged, took = load.rewards - rewards, load.last_at - began
    cpu_ms = 1000 * (time.process_time() - cpu_s) / max(1, judged)
    load.ended = True
    await running
    await service.close()
    return {
        "workers": workers,
        "per_s": judged / took,
        "efficiency": judged / took / (workers * PER_WORKER_S),
        "cpu_ms": cpu_ms,
        "wrong": load.wrong,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", required=True)
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    for workers in arguments.workers:
        print(json.dumps(asyncio.run(measure(workers, arguments.seconds))), flush=True)


if __name__ == "__main__":
    main()
