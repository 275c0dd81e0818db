"""The chaos suite: `make chaos`, or `python tests/chaos --engines fake --rewards 2400 --seed 5`.

A load of rewards with known right answers runs through a service on Ray while its processes are killed, frozen, slowed
and made to talk garbage; then the same in small with real vLLM engines. Prints what became of every reward, leaves
runs/chaos/summary.json, and fails unless every reward came, in time, and right or flagged as the failure policy's.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from phases import fake_phases, vllm_phases  # noqa: E402
from questions import draw_question  # noqa: E402
from report import show, write  # noqa: E402
from stage import fake_config, staged  # noqa: E402
from tally import Tally  # noqa: E402
from vllm_stage import nano_config, reference_questions  # noqa: E402

from support.leftovers import end_processes, take_folder, take_mark  # noqa: E402

FAKE_REWARDS_PER_S, VLLM_REWARDS_PER_S = 20.0, 3.0
VLLM_SHARE = 0.1
"""Rewards of the run on vLLM, as a part of those on fake engines."""


def run_fake(rewards: int, seed: int, folder: Path, only: str, replicas: int) -> list[Tally]:
    rng = random.Random(seed)
    phases = [phase for phase in fake_phases(rewards // len(fake_phases(0))) if only in phase.name]
    with staged(partial(fake_config, replicas=replicas), folder) as stage:
        return asyncio.run(stage.play(phases, lambda n: draw_question(rng, n), FAKE_REWARDS_PER_S, rng))


def run_vllm(rewards: int, seed: int, folder: Path, only: str, _: int) -> list[Tally]:
    rng = random.Random(seed)
    phases = [phase for phase in vllm_phases(round(rewards * VLLM_SHARE) // len(vllm_phases(0))) if only in phase.name]
    with staged(nano_config, folder, num_gpus=2) as stage:
        questions = reference_questions(stage.url, rng)
        return asyncio.run(stage.play(phases, lambda n: questions[n % len(questions)], VLLM_REWARDS_PER_S, rng))


RUNS: dict[str, Callable[[int, int, Path, str, int], list[Tally]]] = {"fake": run_fake, "vllm": run_vllm}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=sorted(RUNS), default=["fake", "vllm"])
    parser.add_argument("--rewards", type=int, default=2400, help="on fake engines, spread over the phases")
    parser.add_argument("--seed", type=int, default=5, help="of the load and of what is hit")
    parser.add_argument("--only", default="", help="phases whose name holds this")
    parser.add_argument("--replicas", type=int, default=1, help="processes of the service (fake engines)")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "runs" / "chaos" / "summary.json")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # every injected fault would be logged by every caller
    runs = {}
    for name in options.engines:
        print(f"{name} engines, seed {options.seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            runs[name] = RUNS[name](options.rewards, options.seed, Path(folder), options.only, options.replicas)
    summed = show(runs, options.seed)
    write(runs, summed, options.seed, options.out)
    return 1 if summed.failed or any(tally.unmended for tallies in runs.values() for tally in tallies) else 0


if __name__ == "__main__":
    own_folder, mark = take_folder(), take_mark()
    try:
        code = main()
    finally:
        left = end_processes(mark)
        shutil.rmtree(own_folder, ignore_errors=True)
    if left:
        print(f"left behind, and killed now: {left}")
        code = 1
    sys.stdout.flush()
    os._exit(code)  # a call that hangs may hold a thread for ever
