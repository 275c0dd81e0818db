"""Throughput of the nano GRM through the whole judge, by number of votes.

    python tests/benchmarks/bench_service.py [--config configs/nano_cpu.yaml] [--groups 16] [--rounds 5]

Every round measures all k, one after another, so that what else the machine does hits them alike; the table shows
medians over the rounds and, per round, the ratio to k = 1. No test: it asserts nothing about time.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path

from grm_plugin.config import VLLMConfig
from grm_plugin.config.loading import load_config
from grm_plugin.engines.vllm import VLLMEngine
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.seams import Generator
from grm_plugin.types import Group, Message

ROOT = Path(__file__).resolve().parents[2]
VOTES = (1, 8, 16)
RESPONSES = ("red, green, blue", "red green", "no", "blue, black, white, pink")


def groups(count: int, turn: int) -> list[Group]:
    """Groups of four, no two prompts alike: prefix caching helps within a group only, as in training."""
    return [
        Group((Message("user", f"List three colours, separated by commas. Case {turn}-{index}."),), RESPONSES)
        for index in range(count)
    ]


async def measure(generator: Generator, config_path: Path, k: int, count: int, turn: int) -> tuple[float, float]:
    """Rewards per second and generated tokens per second for `count` groups judged at once."""
    config = load_config(config_path, {"sampling.k": str(k)})
    began = time.perf_counter()
    judgements = await Judge(config, generator).judge(groups(count, turn))
    seconds = time.perf_counter() - began
    rewards = sum(reward.value is not None for judgement in judgements for reward in judgement.rewards)
    tokens = sum(reward.tokens for judgement in judgements for reward in judgement.rewards)
    return rewards / seconds, tokens / seconds


async def main(config_path: Path, count: int, rounds: int) -> None:
    engine = load_config(config_path).engine
    assert isinstance(engine, VLLMConfig)
    generator = VLLMEngine(engine)
    await measure(generator, config_path, k=max(VOTES), count=count, turn=-1)  # warms up
    results: dict[int, list[tuple[float, float]]] = {k: [] for k in VOTES}
    for turn in range(rounds):
        for k in VOTES:
            results[k].append(await measure(generator, config_path, k, count, turn * len(VOTES) + VOTES.index(k)))
    generator.shutdown()
    print(f"{count} groups of {len(RESPONSES)} at once, median of {rounds} rounds\n")
    print(f"{'k':>3}  {'rewards/s':>10}  {'tokens/s':>10}  {'rewards/s to k=1':>17}")
    for k, rows in results.items():
        ratio = statistics.median(row[0] / base[0] for row, base in zip(rows, results[VOTES[0]], strict=True))
        rewards, tokens = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{k:>3}  {rewards:>10.1f}  {tokens:>10.0f}  {ratio:>17.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "nano_cpu.yaml")
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    asyncio.run(main(options.config, options.groups, options.rounds))
