"""From the votes on the pairs of a group to the mean vote of each response (mode pairwise)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from grm_plugin.config.modes import PairRewards
from grm_plugin.judging.bradley_terry import chances_of
from grm_plugin.judging.comparing import Compared, compared, shares_won, worths
from grm_plugin.judging.normalize import from_unit_interval
from grm_plugin.judging.rewards import Combined
from grm_plugin.judging.rewards_by_criterion import stopped_by_must
from grm_plugin.judging.voting import vote_of
from grm_plugin.types import Criterion, CriterionReward, ListJudgement, Reward, Stopped

METHODS: Mapping[PairRewards, Callable[[Sequence[Compared]], dict[int, float]]] = {
    "bradley_terry": chances_of,
    "borda": shares_won,
}


def of_pairs(
    raw: Sequence[Reward], lists: Sequence[ListJudgement], criteria: Sequence[Criterion], method: PairRewards
) -> Combined:
    """Rewards without their values, from the pairs of a group.

    A must that a response does not fulfil takes as much of its mean as votes say so: also among responses none of which
    does, where a comparison would tell them level.

    Args:
        raw: what each response has without votes.
        lists: the pairs. A response of which no vote on any pair could be read has no votes.
        criteria: that the votes were given by.
        method: `judge.pair_rewards`.
    """
    means, by_criterion = (
        METHODS[method](compared(lists)),
        [METHODS[method](compared(lists, number)) for number in range(len(criteria))],
    )
    mine: list[list[ListJudgement]] = [[] for _ in raw]
    for judged in lists:
        for member in judged.members:
            mine[member].append(judged)
    rewards, stopped = [], []
    for member, (reward, pairs) in enumerate(zip(raw, mine, strict=True)):
        shares = [stopped_by_must(criteria, judged, judged.members.index(member)) for judged in pairs]
        stopped.append(fmean(shares) if shares else 0.0)
        rewards.append(reward)
        if pairs:
            reward = _with_costs(reward, member, pairs)
            rows = (
                _of_criterion(criterion, number, member, pairs, by_criterion[number].get(member))
                for number, criterion in enumerate(criteria)
            )
            rewards[-1] = _with_mean(reward, member, pairs, means.get(member), stopped[-1], tuple(rows))
    return rewards, stopped


def _with_costs(reward: Reward, member: int, pairs: Sequence[ListJudgement]) -> Reward:
    kept = [critique for judged in pairs for critique in judged.critiques if critique.kept]
    ratings = [critique.meta for critique in kept if critique.meta is not None]
    return replace(
        reward,
        votes_asked=sum(judged.asked for judged in pairs),
        votes_parsed=sum(len(judged.critiques) for judged in pairs),
        votes_kept=len(kept),
        votes_forced=sum(critique.forced for critique in kept),
        meta=fmean(ratings) if ratings else None,
        meta_failed=any(judged.meta_error for judged in pairs),
        tokens=math.fsum(judged.tokens / len(judged.members) for judged in pairs),
        cut=max(judged.cut[judged.members.index(member)] for judged in pairs),
        rounds=max(judged.rounds for judged in pairs),
        stopped=next((judged.stopped for judged in pairs if judged.stopped is not Stopped.ALL), Stopped.ALL),
    )


def _with_mean(
    reward: Reward,
    member: int,
    pairs: Sequence[ListJudgement],
    share: float | None,
    stopped: float,
    criteria: tuple[CriterionReward, ...],
) -> Reward:
    if share is None:
        return reward
    vote, unit = vote_of(_won(pairs, member)), share * (1 - stopped)
    return replace(
        reward,
        status="ok",
        mean=from_unit_interval(unit),
        total=vote.total,
        spread=vote.spread,
        unit_mean=unit,
        criteria=criteria,
    )


def _of_criterion(
    criterion: Criterion, number: int, member: int, pairs: Sequence[ListJudgement], share: float | None
) -> CriterionReward:
    won = _won(pairs, member, number)
    if share is None or not won:
        return CriterionReward(criterion.name)
    return CriterionReward(criterion.name, from_unit_interval(share), vote_of(won).spread, len(won))


def _won(pairs: Sequence[ListJudgement], member: int, criterion: int | None = None) -> list[float]:
    """What each vote says of the response, on the scale of scores."""
    return [
        from_unit_interval(value if judged.members[0] == member else 1 - value)
        for judged in pairs
        for value in worths(judged, criterion)
    ]
