"""How well each `judge.mode` ranks generated groups, against listwise judging at the same tokens.

    python tests/benchmarks/bench_modes.py                       # some minutes on one core

The score of response i in critique j is m_i + a_j + e_ij, rounded and cut to 1..10, as in bench_votes.py: lenience
a_j of standard deviation 0.8, noise e_ij of 1.2, means m_i normal around 6.2 with standard deviation 1 (spread groups)
or 0.3 (near-tied ones). A critique of a pair is made alike; with `--pair-noise 0.7` its noise is 0.7 of that, as that
of a GRM that sees finer differences between two than among four. Only a measurement tells which of both your GRM is.

Assumed: a critique costs tokens in proportion to the responses that it reads, so one of a pair half of one of a four;
the unit of tokens is a critique of four. "pairs right" is the share of all pairs of a group that the rewards order as
the true means do, ties half; "best right" the share of groups whose best response has the highest reward, ties shared.
Every row is held against listwise judging with as many votes as its tokens pay for, on the same groups; intervals are
1.96 standard errors over groups. "compared" is the share of neighbours in a list's ranking that had a tie-break.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from grm_plugin.config.loading import load_config
from grm_plugin.judging.grouping import split_evenly
from grm_plugin.judging.modes import Modes
from grm_plugin.judging.rewards import NO_VOTES
from grm_plugin.judging.voting import tally
from grm_plugin.types import Critique, Group, ListJudgement, Message

LENIENCE, NOISE = 0.8, 1.2
LIST_SIZE = 4
SPREADS = {"spread": 1.0, "near-tied": 0.3}


@dataclass(frozen=True, slots=True)
class Case:
    """A mode, by its keys of the section `judge`, and its votes per list or pair."""

    name: str
    k: int
    judge: dict[str, object]


CASES = (
    Case("pairwise, all, Bradley-Terry", 4, {"mode": "pairwise"}),
    Case("pairwise, all, Borda", 4, {"mode": "pairwise", "pair_rewards": "borda"}),
    Case("pairwise, circular, Bradley-Terry", 14, {"mode": "pairwise", "comparisons": "circular"}),
    Case("pairwise, circular, Borda", 14, {"mode": "pairwise", "comparisons": "circular", "pair_rewards": "borda"}),
    *(
        Case(f"tiebreak, flip {flip}", 16, {"mode": "tiebreak", "tiebreak": {"flip": flip}})
        for flip in (0.2, 0.1, 0.05)
    ),
)


def judged(means: Sequence[float], members: tuple[int, ...], k: int, noise: float, rng: random.Random) -> ListJudgement:
    """A list with k generated votes."""
    critiques = []
    for sample in range(k):
        lenient = rng.gauss(0, LENIENCE)
        scores = tuple(
            min(10.0, max(1.0, float(round(means[member] + lenient + rng.gauss(0, noise))))) for member in members
        )
        critiques.append(Critique(scores, "", "", "", tuple(range(len(members))), sample, tokens=len(members)))
    votes = tuple(tally(critiques, len(members)))
    return ListJudgement(members, votes, tuple(critiques), (), (0,) * len(members))


@dataclass(frozen=True, slots=True)
class Ranked:
    """The mean votes on a group, its tokens in critiques of four, and the tie-breaks that it had."""

    means: list[float]
    tokens: float
    tiebreaks: int


def rank(case: Case, groups: Sequence[Sequence[float]], pair_noise: float) -> list[Ranked]:
    """Every group in a mode. Modes that show the same lists with as many votes see the same scores."""
    config = load_config({"engine": {"type": "fake"}, "sampling": {"k": case.k}, "judge": {**case.judge}})
    modes, rng = Modes(config), random.Random(f"{case.k} {config.judge.mode} {config.judge.comparisons}")
    return [_rank(modes, case.k, means, pair_noise, rng) for means in groups]


def _rank(modes: Modes, k: int, means: Sequence[float], pair_noise: float, rng: random.Random) -> Ranked:
    group = Group((Message("user", "?"),), tuple(f"response {index}" for index in range(len(means))))
    lists, tiebreaks = [], 0
    for members in split_evenly(range(len(means)), modes.gathered):
        for part in modes.parts_of(group, members):
            noise = NOISE * (pair_noise if len(part) == 2 else 1)
            lists.append(modes.marked(judged(means, part, k, noise, rng)))
            for pair in modes.tied(group, lists[-1]) if modes.breaks_ties else ():
                tiebreaks += 1
                lists.append(replace(judged(means, pair, k, NOISE * pair_noise, rng), purpose="tiebreak"))
    found, _ = modes.combine_of(group)([NO_VOTES] * len(means), lists, ())
    return Ranked([reward.mean or 0.0 for reward in found], sum(item.tokens for item in lists) / LIST_SIZE, tiebreaks)


def pairs_right(found: Sequence[float], means: Sequence[float]) -> float:
    """The share of pairs in the right order; ties half."""
    right = []
    for one, other in itertools.combinations(range(len(means)), 2):
        agrees = (found[one] - found[other]) * (means[one] - means[other])
        right.append(1.0 if agrees > 0 else 0.5 if agrees == 0 else 0.0)
    return fmean(right)


def best_right(found: Sequence[float], means: Sequence[float]) -> float:
    """Whether the best response has the highest reward; its share where several have."""
    first = [index for index, value in enumerate(found) if value == max(found)]
    return (means.index(max(means)) in first) / len(first)


def row(name: str, case: Case, groups: Sequence[Sequence[float]], pair_noise: float) -> None:
    """One mode on these groups, beside listwise judging at the same tokens."""
    found, n = rank(case, groups, pair_noise), len(groups[0])
    tokens, lists = fmean(item.tokens for item in found), len(split_evenly(range(n), LIST_SIZE))
    listwise = Case("listwise", max(1, round(tokens * LIST_SIZE / n)), {})
    same = rank(listwise, groups, pair_noise)
    cells = []
    measures: tuple[Callable[[Sequence[float], Sequence[float]], float], ...] = (pairs_right, best_right)
    for measure in measures:
        mine = [100 * measure(item.means, means) for item, means in zip(found, groups, strict=True)]
        theirs = [100 * measure(item.means, means) for item, means in zip(same, groups, strict=True)]
        gains = [one - other for one, other in zip(mine, theirs, strict=True)]
        error = 1.96 * stdev(gains) / math.sqrt(len(gains))
        cells.append(f"{fmean(mine):5.1f} {fmean(theirs):5.1f} {fmean(gains):+5.1f} +- {error:.1f}")
    tied = fmean(item.tiebreaks for item in found) / (n - lists)
    print(
        f"{name:<16} {case.name:<34} {case.k:>3} {tokens:>6.1f} {listwise.k:>5}   {cells[0]}   {cells[1]}"
        + (f"   {tied:.0%}" if tied else ""),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=2000, help="generated groups of each kind")
    parser.add_argument("--n", type=int, nargs="+", default=[4, 8], help="responses of a group")
    parser.add_argument("--pair-noise", type=float, nargs="+", default=[1.0, 0.7], help="noise in pairs, as a share")
    args = parser.parse_args()
    for pair_noise, n in itertools.product(args.pair_noise, args.n):
        print(f"\nnoise of a score in a pair: {pair_noise:g} of that in a list")
        print(f"{'':<16} {'':<34} {'':>3} {'':>6} {'':>5}   {'pairs right, %':<23}   best right, %")
        head, three = f"{'groups':<16} {'mode':<34} {'k':>3} {'tokens':>6} {'k of':>5}", f"{'mode  list  gain':<23}"
        print(f"{head}   {three}   {three}   compared")
        for kind, spread in SPREADS.items():
            rng = random.Random(f"{kind} {n}")
            groups = [[rng.gauss(6.2, spread) for _ in range(n)] for _ in range(args.groups)]
            for case in CASES:
                row(f"{kind}, n = {n}", case, groups, pair_noise)


if __name__ == "__main__":
    main()
