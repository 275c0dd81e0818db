"""The official figures of RewardBench (Lambert et al., arXiv 2403.13787): subsets, four sections, and their mean."""

from __future__ import annotations

from collections.abc import Mapping

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.evals.benchmarks.rewardbench import SECTIONS
from grm_plugin.evals.official.rule import OfficialRule, Part, Scored, weighted
from grm_plugin.evals.voting_methods import Tally, outcome_of


def _credit(item: Item, tally: Tally, scalar: bool) -> Floats:
    found = outcome_of(tally, item.best)
    return found.right if scalar else found.lenient + found.lost / 2


def _parts(scored: Scored) -> dict[str, Part]:
    subsets = {name: scored.mean(places) for name, places in scored.groups().items()}
    return {name: _section(subsets, name) for name in SECTIONS if SECTIONS[name].keys() <= subsets.keys()} | subsets


def _section(subsets: Mapping[str, Part], section: str) -> Part:
    weights = SECTIONS[section]
    total = sum(weights.values())
    return weighted([(weight / total, subsets[name]) for name, weight in weights.items()])


RULE = OfficialRule(
    code="allenai/reward-bench",
    version="0.1.5",
    verified=True,
    says="A tie or an unreadable answer of a generative judge counts one half, a tie of a scalar model nothing. "
    "Subsets weigh in their section by their published sizes, sections alike; the prior sets are left out.",
    reduce=_credit,
    parts=_parts,
    headline=tuple(SECTIONS),
)
