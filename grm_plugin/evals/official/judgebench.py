"""The official figures of JudgeBench (Tan et al., arXiv 2410.12784): both orders of a pair, per response model."""

from __future__ import annotations

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.batch.statistics.bootstrap import Ints
from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.official.rule import OfficialRule, Part, Scored
from grm_plugin.evals.voting_methods import Tally

CONSISTENT = "in every order"
"""What is added to a part's name for its position-consistent accuracy: the judge is right in each order by itself."""

UNKNOWN = "?"
"""Response model of an item whose data does not say it."""


def _said(item: Item, tally: Tally, scalar: bool) -> Floats:
    """M x 2 shares of choices of votes: the two orders together are for the right response; and each of them is.

    Every order says right (+1), wrong (-1) or neither (0: a tie, or nothing that can be read). A judge that was asked
    in one order only, as a greedy vote is, is judged by that.
    """
    assert tally.by_order is not None
    assert tally.orders is not None
    best, other = item.best[0], 1 - item.best[0]
    said = np.sign(tally.by_order[..., best] - tally.by_order[..., other])
    together, each = said.sum(axis=-1) > 0, (said > 0).sum(axis=-1) == tally.orders[:, None]
    shares: Floats = np.stack([together.mean(axis=-1), each.mean(axis=-1)], axis=-1)
    return shares


def _parts(scored: Scored) -> dict[str, Part]:
    groups = {OVERALL: scored.all} | scored.groups(_response_model)
    found = {name: _mean(scored, places, 0) for name, places in groups.items()}
    found |= {f"{name} {CONSISTENT}".strip(): _mean(scored, places, 1) for name, places in groups.items()}
    by_category = scored.groups(lambda item: f"{_response_model(item)}/{item.subset}")
    found |= {name: _mean(scored, places, 0) for name, places in by_category.items()}
    return {name: part for name, part in found.items() if not name.startswith(UNKNOWN)}


def _mean(scored: Scored, places: Ints, column: int) -> Part:
    rows = np.array([scored.values[place][:, column] for place in places]).T
    return Part("accuracy", len(places), scored.bootstrap.means(rows, places))


def _response_model(item: Item) -> str:
    return str(item.meta.get("response_model") or UNKNOWN)


RULE = OfficialRule(
    code="ScalerLab/JudgeBench",
    version="2024-11-06",
    verified=True,
    says="Each order says right (+1), wrong (-1) or neither (0); a pair is right if the sum is above 0. Published per "
    "response model; the headline here is over all pairs of the data.",
    reduce=_said,
    parts=_parts,
    headline=(OVERALL,),
    by_order=True,
)
