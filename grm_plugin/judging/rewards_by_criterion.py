"""What each response of a group got for each criterion, by the GRM or by a rule, and what all of it comes to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.criteria import MIDDLE
from grm_plugin.judging.normalize import Normalizer, from_unit_interval, to_unit_interval
from grm_plugin.judging.voting import vote_of
from grm_plugin.types import (
    MIN_SCORE,
    Criterion,
    CriterionReward,
    Group,
    ListJudgement,
    Reward,
    RuleScore,
)

NOBODY: Mapping[str, RuleScore] = {}


def votes_by(criteria: Sequence[Criterion], judged: ListJudgement, position: int) -> tuple[CriterionReward, ...]:
    """What the kept critiques of a list say of one of its responses, criterion by criterion."""
    kept = [critique for critique in judged.critiques if critique.kept]
    found = []
    for number, criterion in enumerate(criteria):
        rows = [critique.by_criterion[number] for critique in kept if number < len(critique.by_criterion)]
        scores = [row[position] for row in rows if row is not None]
        vote = vote_of(scores) if scores else None
        found.append(
            CriterionReward(criterion.name, vote.mean, vote.spread, len(scores))
            if vote
            else CriterionReward(criterion.name)
        )
    return tuple(found)


def stopped_by_must(criteria: Sequence[Criterion], judged: ListJudgement, position: int) -> float:
    """The share of the kept critiques, 0 to 1, by which a must is not fulfilled."""
    musts = [number for number, criterion in enumerate(criteria) if criterion.kind == "must"]
    kept = [critique.by_criterion for critique in judged.critiques if critique.kept]
    if not musts or not kept:
        return 0.0
    rows = [[by[number] for number in musts if number < len(by)] for by in kept]
    stopped = sum(any(row is not None and row[position] < MIDDLE for row in found) for found in rows)
    return stopped / len(kept)


def with_rules(
    reward: Reward, said: Mapping[str, RuleScore], rules: Sequence[Criterion], weight: float | None, stopped: float
) -> Reward:
    """A response's raw reward, of the GRM alone, with what the rules say of it.

    A rule without a number costs itself. A response of which the GRM was asked and has no vote stays without a reward.

    Args:
        reward: `mean` is the GRM's, None where it gave none.
        said: by name of the rule.
        rules: those that apply.
        weight: of the GRM's mean beside those of the rules: of its criteria, or of its overall score. None where the
            GRM is not asked, and rules alone make the reward.
        stopped: share of the votes for which the response stays at the lowest score whatever else it does.
    """
    rows = []
    total, share = 0.0, 0.0
    for rule in rules:
        score = said.get(rule.name, RuleScore(problem="it was not asked"))
        mean = None if score.value is None else from_unit_interval(score.value)
        rows.append(CriterionReward(rule.name, mean, None if mean is None else 0.0, 0, problem=score.problem))
        if score.value is not None:
            total += rule.weight
            share += rule.weight * score.value
    reward = replace(reward, criteria=(*reward.criteria, *rows))
    if not total:
        return reward
    if weight is None:
        reward, unit = replace(reward, status="rule", spread=0.0), share / total
    elif reward.status == "ok" and reward.mean is not None:
        unit = (weight * to_unit_interval(reward.mean) + (1 - stopped) * share) / (weight + total)
    else:
        return reward
    unit = max(0.0, min(1.0, unit))
    return replace(reward, mean=from_unit_interval(unit), unit_mean=unit)


def weight_of(criteria: Sequence[Criterion], judge: JudgeConfig) -> float:
    """The weight of what the GRM says, beside the user's rules."""
    if not criteria:
        return judge.overall.weight
    positive = math.fsum(criterion.weight for criterion in criteria if criterion.kind in ("scale", "yes_no"))
    penalties = math.fsum(criterion.weight for criterion in criteria if criterion.kind == "penalty")
    return positive or penalties or judge.overall.weight


def in_columns(
    rewards: Sequence[Reward],
    group: Group,
    judge: JudgeConfig,
    normalizer: Normalizer,
    reliability_of: Callable[[str], float | None],
) -> list[Reward]:
    """The rewards with their criteria in order, each normalised over the group: those of the configuration, then own.

    All rewards of a service have the columns of the configuration, also where nothing was said of them. A response that
    has the lowest score by rule (it is blank, or a gate has stopped it) has it for every criterion of the group; what
    stands for a missing mean is the mean of the others only, or a failure would be scored by them.
    """
    configured = [criterion.name for criterion in judge.criteria]
    own = [criterion.name for criterion in group.criteria if criterion.name not in configured]
    if not configured and not own:
        return list(rewards)
    applying = {criterion.name for criterion in (*group.criteria, *judge.rules_for(group.source))}
    found: list[dict[str, CriterionReward]] = [{row.name: row for row in reward.criteria} for reward in rewards]
    lowest = [
        reward.status == "blank" or any(row.name in judge.gates and row.mean == MIN_SCORE for row in reward.criteria)
        for reward in rewards
    ]
    for by_name in itertools.compress(found, lowest):
        for name in applying:
            row = by_name.get(name, CriterionReward(name))
            by_name[name] = row if row.mean is not None else replace(row, mean=float(MIN_SCORE), spread=0.0)
    columns = []
    for name in (*configured, *own):
        rows = [by_name.get(name, CriterionReward(name)) for by_name in found]
        values = normalizer.beside([row.mean for row in rows])
        means = [row.mean for row, low in zip(rows, lowest, strict=True) if row.mean is not None and not low]
        others = math.fsum(means) / len(means) if means else MIDDLE
        columns.append(
            [
                replace(
                    row,
                    value=value,
                    settled=others if row.mean is None else row.mean,
                    reliability=reliability_of(name) if row.votes else None,
                    own=name not in configured,
                )
                for row, value in zip(rows, values, strict=True)
            ]
        )
    return [replace(reward, criteria=row) for reward, row in zip(rewards, zip(*columns, strict=True), strict=True)]
