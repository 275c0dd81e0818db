"""What an official rule is: which figures a benchmark publishes, and how they follow from the votes on its items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.batch.statistics.bootstrap import Bootstrap, Ints
from grm_plugin.batch.statistics.estimates import Estimate, weighted_sums
from grm_plugin.evals.voting_methods import Tally


@dataclass(frozen=True, slots=True)
class Part:
    """A figure that a benchmark publishes.

    Attributes:
        metric: what it is: `accuracy`, `f1`, `score` ...
        n: number of items.
        estimates: the figure of every method, M of them.
    """

    metric: str
    n: int
    estimates: list[Estimate]


@dataclass(frozen=True, slots=True)
class Scored:
    """The items of a benchmark after the votes on them were reduced to what its rule looks at.

    Attributes:
        items: n items.
        values: what `OfficialRule.reduce` made of the votes on each.
        bootstrap: samples of these items.
    """

    items: Sequence[Item]
    values: Sequence[Any]
    bootstrap: Bootstrap

    def groups(self, key: Callable[[Item], str] = lambda item: item.subset) -> dict[str, Ints]:
        """Key -> the indices of its items, sorted by key; by subset, if nothing else is given."""
        found: dict[str, list[int]] = {}
        for index, item in enumerate(self.items):
            found.setdefault(key(item), []).append(index)
        return {name: np.array(found[name], dtype=np.int64) for name in sorted(found)}

    @property
    def all(self) -> Ints:
        """The indices of all items."""
        return np.arange(len(self.items), dtype=np.int64)

    def mean(self, places: Ints, weights: Floats | None = None, metric: str = "accuracy") -> Part:
        """The mean over some items whose values are M numbers each.

        Args:
            places: indices of the items.
            weights: how often each counts; None counts them once.
            metric: its name.
        """
        rows = np.array([self.values[place] for place in places], dtype=np.float64).T
        return Part(metric, len(places), self.bootstrap.means(rows, places, weights))


@dataclass(frozen=True, slots=True)
class OfficialRule:
    """How a benchmark makes its own figures.

    Attributes:
        code: where the rule was read: a repository, or a paper where the code cannot be had.
        version: of the code: its number, or the day of its last change.
        verified: whether figures were compared with those of the code itself.
        says: the rule in one or two sentences.
        reduce: an item, the tally of the votes on it, and whether a scalar model gave them -> what `parts` needs of it.
        parts: name -> figure, of those subsets that have items.
        headline: the parts whose mean is the headline figure.
        scalar: whether the rule can be applied to scalar reward models.
        by_order: whether `reduce` needs the orders of a pair apart from each other.
    """

    code: str
    version: str
    verified: bool
    says: str
    reduce: Callable[[Item, Tally, bool], Any]
    parts: Callable[[Scored], dict[str, Part]]
    headline: tuple[str, ...]
    scalar: bool = True
    by_order: bool = False


def weighted(parts: Sequence[tuple[float, Part]]) -> Part:
    """The weighted sum of parts; the weights sum to 1."""
    estimates = weighted_sums([(weight, part.estimates) for weight, part in parts])
    return Part(parts[0][1].metric, sum(part.n for _, part in parts), estimates)
