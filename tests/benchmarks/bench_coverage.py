"""How often the printed 95 % intervals hold the true figure: simulated judges of known accuracy, through the report.

    python tests/benchmarks/bench_coverage.py          # seven minutes on one core
    python tests/benchmarks/bench_coverage.py --jobs 2 --sets 4 --only "five pairs"

A simulated judge knows each prompt more or less well (one normal number per prompt, shared by its items); a vote is
right, wrong, a tie or lost by chance. So the true figures are integrals that can be computed. Each row: a condition,
a figure, the share of data sets whose interval holds the true value with the standard error of that share, and the
mean width of the interval. A share more than two standard errors outside of 93..97 % is marked.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1]))

from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_store import ItemVotes, Manifest, StoredVote
from grm_plugin.evals.analysis import analyse
from grm_plugin.evals.benchmarks.rewardbench import SECTIONS
from grm_plugin.types import Message

Floats = NDArray[np.float64]

TIE, LOST = 0.1, 0.03
SPREAD = 0.8
"""Standard deviation, over prompts, of what is added to the judge's ability."""

ORDERS = ((0, 1), (1, 0))
SCORES = ((8.0, 4.0), (4.0, 8.0), (6.0, 6.0), None)
"""Of a vote that is right, wrong, a tie, lost. All votes of a kind are one object: data sets are made fast."""
VOTES = [[StoredVote(scores, order) for order in ORDERS] for scores in SCORES]

LOWEST, HIGHEST = 0.93, 0.97


@dataclass(frozen=True, slots=True)
class Subset:
    """A part of a benchmark: its name, its share of the items, its weight in the overall figure, and by how much the
    judge's accuracy is higher here than in the benchmark as a whole.
    """

    name: str
    share: float
    weight: float
    easier: float = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """A benchmark in miniature.

    Attributes:
        name: for the table.
        suite: whose rule is applied.
        subsets: its parts; shares and weights sum to 1.
        per_prompt: items on the same prompt.
        tie_credit: what the official rule gives for equal scores, and for an item without a vote.
    """

    name: str
    suite: str
    subsets: tuple[Subset, ...]
    per_prompt: int = 1
    tie_credit: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """A layout with n items in all, a judge that is right in `accuracy` of the votes with a winner, and k votes."""

    layout: Layout
    n: int
    accuracy: float
    k: int
    sets: int

    @property
    def name(self) -> str:
        return f"{self.layout.name}, n = {self.n}, accuracy {self.accuracy}, k = {self.k}"


def rewardbench_subsets() -> tuple[Subset, ...]:
    """All subsets of RewardBench, as large as they are: math-prm has 447 items and weighs more than they do."""
    sizes = {name: float(count) for each in SECTIONS.values() for name, count in each.items()} | {"math-prm": 447.0}
    return tuple(
        Subset(name, sizes[name] / sum(sizes.values()), weight / sum(each.values()) / len(SECTIONS), 0.1 - 0.05 * place)
        for place, each in enumerate(SECTIONS.values())
        for name, weight in each.items()
    )


POOL = Layout("one pool", "ppe-preference", (Subset("", 1.0, 1.0),))
CLUSTERS = Layout("five pairs per prompt", "ppe-preference", (Subset("", 1.0, 1.0),), per_prompt=5)
COLUMNS = Layout(
    "four unequal columns, five pairs per prompt",
    "rmb",
    (
        Subset("Helpfulness pairwise", 0.4, 0.25),
        Subset("Helpfulness BoN", 0.3, 0.25, -0.1),
        Subset("Harmlessness pairwise", 0.2, 0.25, 0.05),
        Subset("Harmlessness BoN", 0.1, 0.25, -0.2),
    ),
    per_prompt=5,
)
SECTIONED = Layout("sections, ties half", "rewardbench", rewardbench_subsets(), tie_credit=0.5)

SETS = {20: 600, 100: 400, 300: 200, 500: 150, 1000: 100}
"""n -> number of data sets."""

ACCURACIES = (0.6, 0.8, 0.95)

CONDITIONS = [
    *(Condition(POOL, n, accuracy, 1, SETS[n]) for n in (20, 100) for accuracy in ACCURACIES),
    Condition(POOL, 1000, 0.8, 1, SETS[1000]),
    Condition(POOL, 100, 0.8, 8, SETS[100]),
    *(Condition(CLUSTERS, 100, accuracy, 1, SETS[100]) for accuracy in ACCURACIES),
    Condition(CLUSTERS, 1000, 0.8, 1, SETS[1000]),
    *(Condition(COLUMNS, n, 0.8, k, SETS[n]) for n, k in ((300, 1), (300, 8), (1000, 8))),
    *(Condition(SECTIONED, 500, 0.8, k, SETS[500]) for k in (1, 8)),
]


def vote_shares(accuracy: float, ability: Floats) -> Floats:
    """... x 4 chances of a vote to be right, wrong, a tie, lost, for prompts that are known so well (0 on average)."""
    # The mean of cdf(a + SPREAD z) over normal z is cdf(a / sqrt(1 + SPREAD^2)).
    base = NormalDist().inv_cdf(accuracy) * math.sqrt(1 + SPREAD**2)
    right = 0.5 * (1 + np.vectorize(math.erf)((base + SPREAD * ability) / math.sqrt(2)))
    clear = 1 - TIE - LOST
    return np.stack([clear * right, clear * (1 - right), np.full_like(right, TIE), np.full_like(right, LOST)], axis=-1)


def true_value(condition: Condition, k: int, tie_credit: float) -> float:
    """The figure of all votes that the judge would ever give, over all prompts: @k with this credit for a tie."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    total = 0.0
    for subset in condition.layout.subsets:
        shares = vote_shares(_accuracy(condition, subset), nodes)
        right, wrong, equal = shares[:, 0], shares[:, 1], shares[:, 2] + shares[:, 3]
        # Chances of each lead (right votes minus wrong ones) after k votes: a convolution per node.
        leads = np.ones((len(nodes), 1))
        for _ in range(k):
            longer = np.zeros((len(nodes), leads.shape[1] + 2))
            for shift, chance in enumerate((wrong, equal, right)):
                longer[:, shift : shift + leads.shape[1]] += leads * chance[:, None]
            leads = longer
        value = leads[:, k + 1 :].sum(axis=1) + tie_credit * leads[:, k]
        total += subset.weight * float(value @ weights / weights.sum())
    return total


def data_sets(condition: Condition, rng: np.random.Generator) -> Iterator[list[ItemVotes]]:
    """Data sets on the same items, with other prompts behind them and other votes."""
    per_prompt, items, accuracies, prompts = condition.layout.per_prompt, [], [], 0
    for subset in condition.layout.subsets:
        for _ in range(max(1, round(condition.n * subset.share / per_prompt))):
            question = (Message("user", f"Question {prompts}?"),)
            for member in range(per_prompt):
                name = f"{prompts:05d}-{member}"
                items.append(Item(name, question, (f"good {name}", f"bad {name}"), best=(0,), subset=subset.name))
                accuracies.append(_accuracy(condition, subset))
            prompts += 1
    # Rows of equal accuracy are computed together: there are as many of them as subsets.
    groups = [(accuracy, np.flatnonzero(np.array(accuracies) == accuracy)) for accuracy in sorted({*accuracies})]
    for _ in range(condition.sets):
        ability = np.repeat(rng.standard_normal(prompts), per_prompt)
        shares = np.empty((len(items), len(SCORES)))
        for accuracy, members in groups:
            shares[members] = vote_shares(accuracy, ability[members])
        limits = shares.cumsum(axis=1)[:, None, :-1]
        kinds = (rng.random((len(items), condition.k))[..., None] > limits).sum(axis=-1).tolist()
        yield [
            ItemVotes(item, (), tuple(VOTES[kind][2 * place // condition.k] for place, kind in enumerate(given)))
            for item, given in zip(items, kinds, strict=True)
        ]


def measure(condition: Condition, seed: int) -> list[str]:
    """The rows of the table for a condition."""
    layout, most = condition.layout, f"@{condition.k}"
    manifest = Manifest(layout.suite, "simulated", condition.k, None, {})
    found: dict[str, list[tuple[float, float]]] = {}
    for number, records in enumerate(data_sets(condition, np.random.default_rng([seed, condition.n, condition.k]))):
        report = analyse(manifest, records, seed=number)
        figures = [(f"strict {most}", report.rows, most), (f"official {most}", report.official, most)]
        if condition.k > 1:
            strict = [row for row in report.differences if row.rule == "strict"]
            figures.append((f"strict {most} - @1", strict, f"{most} - @1"))
        for figure, rows, method in figures:
            found.setdefault(figure, []).extend(_intervals(rows, method))
    return [_row(condition, figure, intervals) for figure, intervals in found.items() if intervals]


def _row(condition: Condition, figure: str, intervals: Sequence[tuple[float, float]]) -> str:
    credit = condition.layout.tie_credit if figure.startswith("official") else 0.0
    true = true_value(condition, condition.k, credit)
    if figure.endswith("- @1"):
        true -= true_value(condition, 1, credit)
    share = sum(low <= true <= high for low, high in intervals) / len(intervals)
    error = math.sqrt(0.95 * 0.05 / len(intervals))
    width = sum(high - low for low, high in intervals) / len(intervals)
    mark = "" if LOWEST - 2 * error <= share <= HIGHEST + 2 * error else "  <--"
    numbers = f"{len(intervals):>6}{100 * share:>9.1f}%{100 * error:>6.1f}{true:>8.3f}{width:>8.3f}"
    return f"{condition.name:<80}{figure:<20}{numbers}{mark}"


def _intervals(rows: Iterable[Any], method: str) -> list[tuple[float, float]]:
    """Of the overall figures of a method; rows name the part that they are of in one of two ways."""
    return [row.ci95 for row in rows if row.method == method and not getattr(row, "subset", getattr(row, "part", ""))]


def _accuracy(condition: Condition, subset: Subset) -> float:
    return min(0.99, condition.accuracy + subset.easier)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="conditions whose name holds this")
    parser.add_argument("--sets", type=float, default=1.0, help="this many times the usual number of data sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    wanted = [
        replace(each, sets=max(1, round(each.sets * options.sets))) for each in CONDITIONS if options.only in each.name
    ]
    print(f"{'condition':<80}{'figure':<20}{'sets':>6}{'coverage':>10}{'+-':>6}{'true':>8}{'width':>8}")
    with ProcessPoolExecutor(options.jobs) as pool:
        for rows in pool.map(measure, wanted, [options.seed] * len(wanted)):
            print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
