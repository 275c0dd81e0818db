"""What a benchmark is: how its rows become items, and how the figures of its subsets make the overall figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from grm_plugin.batch.items import Item
from grm_plugin.evals.benchmarks.rows import BenchmarkRow, HubSet

Metric = Literal["accuracy", "auc"]
Weights = Callable[[Mapping[str, int]], dict[str, float]]
"""Number of items per subset -> the subset's weight in the overall figure; weights sum to 1."""

OVERALL = ""
"""Name of the part of a benchmark that is all of it: its headline figure."""

OTHER = "other"
"""Name of the part of the items without a subset, where others have one."""


def by_items(counts: Mapping[str, int]) -> dict[str, float]:
    """Every item weighs the same."""
    total = sum(counts.values())
    return {subset: count / total for subset, count in counts.items()}


def by_subsets(counts: Mapping[str, int]) -> dict[str, float]:
    """Every subset weighs the same."""
    return dict.fromkeys(counts, 1 / len(counts))


@dataclass(frozen=True, slots=True)
class Suite:
    """A benchmark.

    Attributes:
        name: its name on the command line.
        title: its name in tables.
        items: makes the items of a row; the rows that it leaves out are counted in its second argument, by reason.
        published: its data sets on the Hugging Face hub.
        weights: the weight of each subset in the overall figure.
        metric: `accuracy` for items with several responses, `auc` (ROC-AUC) for single responses.
        column: its column in the paper's tables, if it has one.
        sections: groups of subsets with figures of their own: section -> subset -> weight.
        subsets: the subsets without which there is no overall figure; empty where it needs none by name.
        pairwise: whether the strict figure is the share of comparisons that a best response wins, and not that of items
            on which all best responses are ahead of all others.
        pairs_of: the pairs that an item is judged as by a GRM that does not read so many responses together; None where
            such a GRM cannot be measured.
    """

    name: str
    title: str
    items: Callable[[BenchmarkRow, Counter[str]], Iterator[Item]]
    published: tuple[HubSet, ...]
    weights: Weights
    metric: Metric = "accuracy"
    column: str | None = None
    sections: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    subsets: tuple[str, ...] = ()
    pairwise: bool = False
    pairs_of: Callable[[Item], Iterator[Item]] | None = None
