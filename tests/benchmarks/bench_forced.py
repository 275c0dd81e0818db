"""What forced answers save under a token limit that cuts 30 % or 80 % of the critiques: votes, and accuracy.

    python tests/benchmarks/bench_forced.py              # some minutes on two cores

The nano GRM judges held-out lists of two and of four, k = 8, on the same items: with room for every critique, from
which the limits are taken; and under each limit without and with `sampling.force_answer`. An answer is right where the
best response is strictly ahead; a list without votes is wrong. Intervals are 95 % of bootstrap samples over the lists.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from examples.nano.critiques import finds_best
from examples.nano.groups import RankedGroup, draw_ranked_group
from examples.nano.measure import bootstrap
from grm_plugin._util.concurrency import all_of
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.seams import Generator
from grm_plugin.types import Group, ListJudgement, Message

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "nano_cpu.yaml"
K = 8
CUT = (0.3, 0.8)
ROOM = 300
"""Tokens that hold every critique of the nano GRM."""


@dataclass(frozen=True, slots=True)
class Side:
    """One way to judge the items."""

    name: str
    max_tokens: int
    force: bool = False


async def judged(
    config: Config, engine: Generator, side: Side, groups: Sequence[RankedGroup]
) -> tuple[list[ListJudgement], float | None]:
    """The lists, and the weight of forced votes on them."""
    sampling = {"k": K, "seed": 5, "max_tokens": side.max_tokens, "force_answer": side.force}
    lists = ListJudge(config.model_copy(update={"sampling": config.sampling.model_copy(update=sampling)}), engine)
    asked = [Group((Message("user", group.task.prompt),), group.responses) for group in groups]
    places = asyncio.Semaphore(16)

    async def one(group: Group) -> ListJudgement:
        async with places:
            return await lists.judge(group, tuple(range(len(group.responses))))

    return await all_of(one(group) for group in asked), lists.forced.weight


def right(group: RankedGroup, found: ListJudgement) -> float:
    totals = [vote.total for vote in found.votes if vote is not None]
    return float(bool(totals) and finds_best(group, totals))


def report(side: Side, groups: Sequence[RankedGroup], lists: Sequence[ListJudgement], weight: float | None) -> None:
    votes = sum(judged.asked for judged in lists)
    lost = sum(len(judged.unparsed) for judged in lists)
    forced = sum(critique.forced for judged in lists for critique in judged.critiques)
    tokens = sum(judged.tokens for judged in lists)
    accuracy = bootstrap([right(group, found) for group, found in zip(groups, lists, strict=True)])
    print(
        f"{side.name:>22} {side.max_tokens:>7} {lost / votes:>7.1%} {forced / votes:>7.1%} {tokens / votes:>8.1f}"
        f"   {accuracy}" + ("" if weight is None else f"   weight {weight:.2f}")
    )


async def main(items: int, seed: int, engine: Generator, config: Config) -> None:
    for n in (2, 4):
        rng = random.Random(seed + n)
        groups = [draw_ranked_group(rng, n, held_out=True) for _ in range(items)]
        print(f"\nlists of {n}: {items}\n{'':>22} {'limit':>7} {'lost':>7} {'forced':>7} {'tokens':>8}   right")
        whole = Side("room for all", ROOM)
        lists, _ = await judged(config, engine, whole, groups)
        report(whole, groups, lists, None)
        lengths = sorted(vote.tokens for found in lists for vote in (*found.critiques, *found.unparsed))
        for share in CUT:
            limit = lengths[int((1 - share) * len(lengths))] - 1
            outcomes = []
            for side in (Side(f"{share:.0%} cut", limit), Side("asked for scores", limit, force=True)):
                lists, weight = await judged(config, engine, side, groups)
                report(side, groups, lists, weight)
                outcomes.append([right(group, found) for group, found in zip(groups, lists, strict=True)])
            gain = bootstrap([after - before for before, after in zip(*outcomes, strict=True)])
            print(f"{'gain':>22} {'':>33}  {gain}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=200, help="lists of each length")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    config = load_config(CONFIG)
    began = time.monotonic()
    with running_engines(config) as (generator, _):
        asyncio.run(main(options.items, options.seed, generator, config))
    print(f"\n{time.monotonic() - began:.0f} s")
