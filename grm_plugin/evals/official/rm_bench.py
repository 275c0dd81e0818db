"""The official figures of RM-Bench (Liu et al., arXiv 2410.16184): right against wrong answers, in three styles each.

The styles are concise, detailed, and detailed with Markdown. Every right answer is compared with every wrong one. A
comparison is hard where the wrong one has the richer style, normal where the styles are the same, else easy.
"""

from __future__ import annotations

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.evals.benchmarks.rm_bench import DOMAINS, STYLES
from grm_plugin.evals.official.rule import OfficialRule, Part, Scored, weighted
from grm_plugin.evals.voting_methods import Tally

LEVELS = ("easy", "normal", "hard")


def _won(item: Item, tally: Tally, scalar: bool) -> Floats:
    """The share of choices of votes in which each comparison is won: M x 9, or M x 1 for an item of one comparison."""
    good = len(item.responses) // 2
    won = tally.totals[..., :good, None] > tally.totals[..., None, good:]
    shares: Floats = won.mean(axis=1)
    return shares.reshape(len(shares), -1)


def _levels(item: Item) -> list[str]:
    """The level of each comparison of an item, in the order of `_won`."""
    styles = range(len(STYLES))
    if len(item.responses) == 2 * len(styles):
        cells = [(right, wrong) for right in styles for wrong in styles]
    else:
        cells = [(int(item.meta["chosen"]), int(item.meta["rejected"]))]
    return [LEVELS[1 + (wrong > right) - (wrong < right)] for right, wrong in cells]


def _parts(scored: Scored) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for domain, places in scored.groups().items():
        for level in LEVELS:
            rows, columns = [], []
            for place in places:
                cells = [cell for cell, name in enumerate(_levels(scored.items[place])) if name == level]
                rows += [scored.values[place][:, cell] for cell in cells]
                columns += [place] * len(cells)
            if rows:
                estimates = scored.bootstrap.means(np.array(rows).T, np.array(columns))
                found[f"{domain} {level}"] = Part("accuracy", len({*columns}), estimates)
        if all(f"{domain} {level}" in found for level in LEVELS):
            mean = weighted([(1 / 3, found[f"{domain} {level}"]) for level in LEVELS])
            found[domain] = Part("accuracy", len(places), mean.estimates)
    for level in LEVELS:
        if all(f"{domain} {level}" in found for domain in DOMAINS):
            found[level] = weighted([(1 / len(DOMAINS), found[f"{domain} {level}"]) for domain in DOMAINS])
    return found


RULE = OfficialRule(
    code="THU-KEG/RM-Bench",
    version="2025-07-18",
    verified=True,
    says="Every right answer against every wrong one, three styles each; a tie is not won. Domains weigh alike, and so "
    "do easy, normal and hard comparisons.",
    reduce=_won,
    parts=_parts,
    headline=DOMAINS,
)
