"""Measures the nano models on held-out prompts, through vLLM.

    python -m examples.nano.check --models examples/nano/models
    python -m examples.nano.check --models examples/nano/models --only policy --samples 4

Prints parse rate, accuracy of the comments, accuracy of votes of 1, 2, 8 and 32 (the best response must be strictly
first) with and without the meta RM, and the policy's true quality. Intervals are 95 % bootstraps over items.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.nano.domain import all_tasks, is_held_out, true_quality
from examples.nano.groups import draw_ranked_group
from examples.nano.measure import bootstrap, correlation, vote_accuracy
from examples.nano.vllm_offline import chat, start_engine
from examples.nano.vote_collection import VOTES, GroupVotes, add_ratings, collect_votes
from grm_plugin.types import Message

SUITES = {"pairs": (2, 0.0, 1.0), "untidy pairs": (2, 0.5, 0.5), "threes": (3, 0.0, 0.25), "fours": (4, 0.0, 0.5)}
"""Name -> number of responses, share of garbled ones, number of groups as a share of `--groups`."""


def report(name: str, collected: Sequence[GroupVotes]) -> None:
    """Prints what the votes on one suite are worth."""
    tokens = [number for found in collected for number in found.tokens]
    hits = [hit for found in collected for hit in found.hits]
    parsed = sum(len(found.votes) for found in collected)
    print(f"\n{name}: {parsed} of {len(tokens)} critiques parsed, {sum(tokens) / len(tokens):.0f} tokens each")
    print(f"  comments  {sum(hits) / max(1, len(hits)):.3f} right of {len(hits)}")
    # One order per group, the first: two greedy answers to one group would count it twice.
    print(f"  greedy    {bootstrap([vote_accuracy(c.group, c.greedy[:1], 1, 1, rounds=1) for c in collected])}")
    for k in (1, 2, 8, VOTES):
        print(f"  vote@{k:<4} {bootstrap(accuracies(collected, k, k))}")
    if len(collected[0].group.responses) > 2:
        totals = [[sum(column) for column in zip(*(v.scores for v in c.votes), strict=True)] for c in collected]
        found = [correlation(votes.group, total) for votes, total in zip(collected, totals, strict=True)]
        print(f"  sums of 32 correlate with true quality: {bootstrap([r for r in found if r is not None])}")


def report_meta(collected: Sequence[GroupVotes]) -> None:
    """Prints what is gained by voting with the better half, by the meta RM's rating."""
    for k in (2, 8, VOTES):
        plain, kept = accuracies(collected, k, k), accuracies(collected, k, k // 2)
        gain = bootstrap([after - before for before, after in zip(plain, kept, strict=True)])
        print(f"  meta@{k:<4} {bootstrap(kept)}, gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]")


def accuracies(collected: Sequence[GroupVotes], k: int, keep: int) -> list[float]:
    """Vote accuracy per group."""
    return [vote_accuracy(found.group, found.votes, k, keep) for found in collected]


def report_policy(engine: Any, samples: int) -> None:
    """Prints the true quality of answers to every held-out prompt."""
    prompts = [task.prompt for task in all_tasks() if is_held_out(task.prompt)]
    for temperature, n in ((1.0, samples), (0.0, 1)):
        answers = chat(engine, [(Message("user", prompt),) for prompt in prompts], n, temperature)
        means = [sum(true_quality(p, a.text) for a in some) / n for p, some in zip(prompts, answers, strict=True)]
        ended = sum(a.finish_reason == "stop" for some in answers for a in some) / (n * len(prompts))
        print(f"policy at T={temperature}: true quality {bootstrap(means)}, {ended:.1%} end by themselves")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True, help="folder with grm/, policy/ and meta_rm/")
    parser.add_argument("--only", choices=("grm", "policy", "all"), default="all", help="grm leaves the meta RM out")
    parser.add_argument(
        "--groups", type=int, default=400, help="number of pairs; the other suites have a fixed share of it"
    )
    parser.add_argument("--samples", type=int, default=4, help="answers of the policy per held-out prompt")
    parser.add_argument("--seed", type=int, default=5)
    args = parser.parse_args(arguments)
    if args.only != "grm":
        report_policy(start_engine(args.models / "policy"), args.samples)
    if args.only != "policy":
        engine = start_engine(args.models / "grm")
        meta = start_engine(args.models / "meta_rm", runner="pooling") if args.only == "all" else None
        rng = random.Random(args.seed)
        for name, (n, untidy, share) in SUITES.items():
            number = max(1, round(args.groups * share))
            groups = [draw_ranked_group(rng, n, held_out=True, untidy=untidy) for _ in range(number)]
            collected = collect_votes(engine, groups, rng)
            report(name, collected)
            if meta is not None:
                add_ratings(meta, collected)
                report_meta(collected)


if __name__ == "__main__":
    main()
