"""The official figures of benchmarks of pairs and lists whose rule is a mean of right items: RMB and PPE."""

from __future__ import annotations

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.evals.benchmarks.ppe import CORRECTNESS
from grm_plugin.evals.benchmarks.rmb import SUBSETS
from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.official.rule import OfficialRule, Part, Scored
from grm_plugin.evals.voting_methods import Tally, outcome_of


def _right(item: Item, tally: Tally, scalar: bool) -> Floats:
    return outcome_of(tally, item.best).right


def _subsets(scored: Scored) -> dict[str, Part]:
    """The mean of each subset; a pair that the benchmark has several times counts as often."""
    found = {}
    for name, places in scored.groups().items():
        times = np.array([float(scored.items[place].meta.get("times", 1)) for place in places])
        found[name] = scored.mean(places, times)
    return found


RMB = OfficialRule(
    code="Zhou-Zoey/RMB-Reward-Model-Benchmark",
    version="2025-03-25",
    verified=True,
    says="A tie is wrong. A list is right if its best answer is ahead of all others. The four columns of the paper "
    "weigh alike.",
    reduce=_right,
    parts=_subsets,
    headline=SUBSETS,
)

PPE_PREFERENCE = OfficialRule(
    code="lmarena/PPE",
    version="arXiv 2410.14872",
    verified=False,
    says="Agreement with the people who could decide; a tie of the judge agrees with nobody.",
    reduce=_right,
    parts=lambda scored: {OVERALL: scored.mean(scored.all)},
    headline=(OVERALL,),
)

PPE_CORRECTNESS = OfficialRule(
    code="lmarena/PPE",
    version="arXiv 2410.14872",
    verified=False,
    says="Accuracy over all pairs of a right and a wrong response, each as often as it stands in the data; a tie is "
    "wrong. The five sets weigh alike.",
    reduce=_right,
    parts=_subsets,
    headline=tuple(CORRECTNESS.values()),
)
