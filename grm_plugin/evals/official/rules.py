"""Which suite has which official rule, and its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.bootstrap import Bootstrap
from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.official import judgebench, pairs, realmistake, rewardbench, rewardbench2, rm_bench
from grm_plugin.evals.official.rule import OfficialRule, Part, Scored, weighted

RULES: Mapping[str, OfficialRule] = {
    "rewardbench": rewardbench.RULE,
    "rewardbench2": rewardbench2.RULE,
    "ppe-preference": pairs.PPE_PREFERENCE,
    "ppe-correctness": pairs.PPE_CORRECTNESS,
    "rmb": pairs.RMB,
    "rm-bench": rm_bench.RULE,
    "judgebench": judgebench.RULE,
    "realmistake": realmistake.RULE,
}


def official_parts(
    rule: OfficialRule, items: Sequence[Item], values: Sequence[Any], bootstrap: Bootstrap, missing: Sequence[str]
) -> tuple[dict[str, Part], list[str]]:
    """The official figures, the headline (`OVERALL`) first.

    Args:
        rule: of the suite.
        items, values: the items, and what `rule.reduce` made of the votes on each.
        bootstrap: samples of these items.
        missing: subsets of which there is no item although the headline figure needs them.

    Returns:
        Name -> figure, and what is missing for the headline figure, without which there is none: subsets, or parts that
        the items do not allow, such as the score of Ties without a pair of prompts.
    """
    found = rule.parts(Scored(items, values, bootstrap))
    absent = [*missing] or [name for name in rule.headline if name not in found]
    if absent:
        found.pop(OVERALL, None)
        return found, absent
    return {OVERALL: weighted([(1 / len(rule.headline), found[name]) for name in rule.headline])} | found, []
