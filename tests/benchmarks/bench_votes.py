"""What early stopping saves and what it costs, on generated votes and on stored ones; and whether reliability is true.

    python tests/benchmarks/bench_votes.py                       # two minutes on one core
    python tests/benchmarks/bench_votes.py --store runs/spct/eval/rl

Generated votes: the score of response i in critique j is m_i + a_j + e_ij, rounded and cut to 1..10, with lenience
a_j of standard deviation 0.8 and noise e_ij of 1.2, as the nano GRM's votes scatter; the means m_i are normal with
standard deviation 1 around 6.2, or all equal (ties). Each group has 32 votes, in the orders that the judge would show.
Stored votes, of the --output of `grm-plugin eval`, are replayed in random orders; a figure's interval is 1.96 standard
errors over the lists. "right" needs a known best response; "other winner" is held against all 32 votes.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

sys.path.append(str(Path(__file__).resolve().parents[1]))

from grm_plugin.judging.stopping import AdvantageKnown, StoppingRule, WinnerKnown
from grm_plugin.types import Stopped
from grm_plugin.votes.replay import Compared, reliability_of, replay_fixed, replay_rule
from grm_plugin.votes.stored_lists import StoredList, Vote, read_lists

K = 32
LENIENCE, NOISE = 0.8, 1.2
WINNER = WinnerKnown(0.05)
RULES: dict[str, StoppingRule] = {"winner": WINNER, "advantage": AdvantageKnown(0.3, WINNER)}


def generated(n: int, count: int, spread: float, rng: random.Random) -> tuple[list[StoredList], list[list[float]]]:
    """Lists of n responses, and their true means."""
    lists, truths = [], []
    for _ in range(count):
        means = [rng.gauss(6.2, spread) for _ in range(n)]
        votes = []
        for number in range(K):
            lenient = rng.gauss(0, LENIENCE)
            scores = tuple(min(10.0, max(1.0, float(round(m + lenient + rng.gauss(0, NOISE))))) for m in means)
            shift = number % n
            order = tuple((place + shift) % n for place in range(n))
            votes.append(Vote(scores, order, 100))
        best = frozenset({means.index(max(means))}) if spread else frozenset()
        lists.append(StoredList(n, tuple(votes), best))
        truths.append(means)
    return lists, truths


def row(name: str, lists: Sequence[StoredList], orders: int) -> None:
    """One line per rule: what it spends, and what it changes."""
    for rule_name, rule in RULES.items():
        found = replay_rule(lists, rule, orders)
        why = found.reasons or {}
        early = ", ".join(f"{why[end.value]:.0%} {end.value}" for end in Stopped if end.value in why)
        print(
            f"{name:<24} {rule_name:<10} {found.tokens:>6.3f} {_interval(found, len(lists)):>16} "
            f"{_right_lost(lists, rule, orders):>16} {found.rounds:>6.2f}   {early}",
            flush=True,
        )


def _right_lost(lists: Sequence[StoredList], rule: StoppingRule, orders: int) -> str:
    """How many points of accuracy the rule costs, with the interval of the mean over lists."""
    lost = []
    for item in lists:
        whole, found = replay_fixed([item], K, 1).right, replay_rule([item], rule, orders).right
        if whole is not None and found is not None:
            lost.append(100 * (whole - found))
    return f"{fmean(lost):+.2f} +- {1.96 * stdev(lost) / math.sqrt(len(lost)):.2f}" if lost else ""


def reliable(name: str, lists: Sequence[StoredList], truths: Sequence[Sequence[float]]) -> None:
    """Reliability of k votes, predicted from eight votes of each list, and the squared correlation with the truth."""
    sums = reliability_of([StoredList(item.n, item.votes[:8]) for item in lists])
    for k in (4, 8, 16, K):
        pairs = []
        for item, truth in zip(lists, truths, strict=True):
            means = [fmean(column) for column in zip(*(vote.scores or () for vote in item.votes[:k]), strict=True)]
            pairs += [(m - fmean(means), t - fmean(truth)) for m, t in zip(means, truth, strict=True)]
        both = math.fsum(m * t for m, t in pairs) ** 2
        squared = both / math.fsum(m * m for m, _ in pairs) / math.fsum(t * t for _, t in pairs)
        predicted = sums.of_votes(k) or 0.0
        off = predicted - squared
        print(f"{name:<24} k = {k:<5} predicted {predicted:.3f}, measured {squared:.3f}, off by {off:+.3f}")


def _interval(found: Compared, lists: int) -> str:
    return f"{found.flips:.2%} +- {1.96 * math.sqrt(found.flips * (1 - found.flips) / lists):.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=10_000, help="generated groups of each kind")
    parser.add_argument("--store", type=Path, action="append", default=[], help="of grm-plugin eval, with K = 32")
    parser.add_argument("--orders", type=int, default=40, help="random orders of each stored list")
    args = parser.parse_args()
    print(f"{'lists':<24} {'goal':<10} {'tokens':>6} {'other winner':>16} {'right lost':>16} {'rounds':>6}   ended")
    kept = {}
    for n, name in ((2, "pairs"), (4, "fours")):
        lists, truths = kept[name] = generated(n, args.groups, 1.0, random.Random(n))
        row(f"generated {name}", lists, 1)
        row(f"true ties, {name}", generated(n, args.groups // 5, 0.0, random.Random(n))[0], 1)
    for path in args.store:
        lists, _ = read_lists(path)
        for n in sorted({item.n for item in lists}):
            row(f"{path.name}, lists of {n}", [item for item in lists if item.n == n], args.orders)
    print("\nreliability")
    for name, (lists, truths) in kept.items():
        reliable(f"generated {name}", lists[:3000], truths[:3000])


if __name__ == "__main__":
    main()
