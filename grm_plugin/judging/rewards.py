"""From votes to rewards: maps the lists of a group back to its responses and normalises over the whole group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.length import LengthCorrelation, penalised
from grm_plugin.judging.normalize import Normalizer, to_unit_interval
from grm_plugin.judging.reliability import Reliability
from grm_plugin.judging.rewards_by_criterion import (
    NOBODY,
    in_columns,
    stopped_by_must,
    votes_by,
    weight_of,
    with_rules,
)
from grm_plugin.judging.ruling import Ruling, asks_grm
from grm_plugin.types import MIN_SCORE, Criterion, Group, ListJudgement, Reward, RuleScore

NO_VOTES = Reward(None, "no_votes")
STOPPED = Reward(None, "rule", mean=float(MIN_SCORE), spread=0.0, unit_mean=0.0)
"""The lowest score, by a gate of the user's."""
BLANK = Reward(None, "blank", mean=float(MIN_SCORE), spread=0.0, unit_mean=0.0)
"""The lowest score, by rule."""

Combined = tuple[list[Reward], list[float]]
"""For each response its reward without a value, and the share of its votes by which a must is not fulfilled."""

Combine = Callable[[Sequence[Reward], Sequence[ListJudgement], Sequence[Criterion]], Combined]
"""Takes what each response has without votes, the lists of a group, and the criteria that it was judged by."""


def first_with_votes(
    raw: Sequence[Reward], lists: Sequence[ListJudgement], criteria: Sequence[Criterion] = ()
) -> Combined:
    """Of a response that stands in several lists the first one with votes counts; what all of them cost is added."""
    rewards, stopped = list(raw), [0.0] * len(raw)
    for judged in lists:
        for position, member in enumerate(judged.members):
            if rewards[member].status != "ok":
                stopped[member] = stopped_by_must(criteria, judged, position)
            rewards[member] = _judged(judged, position, rewards[member], criteria)
    return rewards, stopped


def rewards_of(
    group: Group,
    judge: JudgeConfig,
    lists: Sequence[ListJudgement],
    blank: Collection[int],
    copies: Mapping[int, int],
    normalizer: Normalizer,
    learn: bool = True,
    reliability: Reliability | None = None,
    length: LengthCorrelation | None = None,
    ruling: Ruling | None = None,
    combine: Combine = first_with_votes,
) -> tuple[Reward, ...]:
    """Rewards of a group from the votes on its lists, and from what the user's rules say of its responses.

    A response that stands in no list has no votes.

    Args:
        group: with the criteria that the GRM was asked for (`judging.applying`).
        judge: says which rules apply, and what the GRM's votes weigh beside them.
        lists: the votes on them.
        blank: indices of those that get the lowest score by rule.
        copies: index of each response that no list holds, because an earlier one reads the same -> that one's index.
            Both get its votes, and share its tokens.
        normalizer: makes rewards of means, less what they lose for their length (`normalize.length_penalty`).
        learn: whether method `running` and `length` learn from this group.
        reliability: of mean votes, to be told with the rewards that rest on votes.
        length: the correlation of rewards with it, to be told with the same.
        ruling: what the rules say.
        combine: what the lists together say of each response (`judge.mode`).
    """
    unjudged = [BLANK if index in blank else NO_VOTES for index in range(len(group.responses))]
    raw, stopped = combine(unjudged, lists, group.criteria)
    if ruling is not None:
        raw = _ruled(raw, group, judge, ruling, stopped, {*blank, *copies})
    alike: dict[int, list[int]] = defaultdict(list)
    for index, first in copies.items():
        alike[first].append(index)
    for first, further in alike.items():
        tokens = sum(raw[index].tokens for index in (first, *further)) / (1 + len(further))
        raw[first] = replace(raw[first], tokens=tokens)
        for index in further:
            raw[index] = replace(raw[first], same_as=first)
    means = _less_length(raw, group, normalizer.config.length_penalty, length if learn else None)
    values = normalizer.normalize(means, learn)
    of_mean = reliability.of_rewards if reliability else None
    of_length = length.of_rewards if length else None
    found = [
        replace(reward, value=value, reliability=of_mean, length_corr=of_length)
        if reward.status == "ok"
        else replace(reward, value=value)
        for reward, value in zip(raw, values, strict=True)
    ]
    return tuple(in_columns(found, group, judge, normalizer, reliability.of_criterion if reliability else _unknown))


def _less_length(
    raw: Sequence[Reward], group: Group, penalty: float, learns: LengthCorrelation | None
) -> list[float | None]:
    """The means, of which those that rest on votes or rules lose what long responses do (`judging.length`)."""
    means = [reward.mean for reward in raw]
    voted = {
        index: reward.mean for index, reward in enumerate(raw) if reward.status == "ok" and reward.mean is not None
    }
    lengths = [len(group.responses[index]) for index in voted]
    left = penalised(list(voted.values()), lengths, penalty)
    for index, mean in zip(voted, left, strict=True):
        means[index] = mean
    if learns is not None:
        learns.learn(left, lengths)
    return means


def _unknown(name: str) -> None:
    return None


def _ruled(
    raw: Sequence[Reward],
    group: Group,
    judge: JudgeConfig,
    ruling: Ruling,
    stopped: Sequence[float],
    passed_over: Collection[int],
) -> list[Reward]:
    """The raw rewards with what the rules say; those of `passed_over` are given by another rule, or from a copy."""
    rules = judge.rules_for(group.source)
    if not rules:
        return list(raw)
    weight = weight_of(group.criteria, judge) if asks_grm(group, judge) else None
    lowest = {rule.name: RuleScore(0.0) for rule in rules}
    found = []
    for index, reward in enumerate(raw):
        said = ruling.said.get(index, NOBODY)
        if index in passed_over:
            found.append(reward)
        elif ruling.stopped(index):  # rules that are no gates were not asked
            rows = with_rules(STOPPED, {**lowest, **said}, rules, None, 0.0).criteria
            found.append(replace(STOPPED, criteria=rows))
        else:
            found.append(with_rules(reward, said, rules, weight, stopped[index]))
    return found


def _judged(judged: ListJudgement, position: int, before: Reward, criteria: Sequence[Criterion]) -> Reward:
    kept = [critique for critique in judged.critiques if critique.kept]
    ratings = [critique.meta for critique in kept if critique.meta is not None]
    vote = judged.votes[position]
    asked, tokens = before.votes_asked + judged.asked, before.tokens + judged.tokens / len(judged.members)
    if before.status == "ok":
        return replace(before, votes_asked=asked, tokens=tokens)
    reward = Reward(
        value=None,
        status="no_votes",
        votes_asked=asked,
        votes_parsed=len(judged.critiques),
        votes_kept=len(kept),
        votes_forced=sum(critique.forced for critique in kept),
        meta=fmean(ratings) if ratings else None,
        meta_failed=bool(judged.meta_error),
        tokens=tokens,
        cut=judged.cut[position],
        rounds=judged.rounds,
        stopped=judged.stopped,
    )
    if vote is None:
        return reward
    return replace(
        reward,
        status="ok",
        mean=vote.mean,
        total=vote.total,
        spread=vote.spread,
        unit_mean=to_unit_interval(vote.mean),
        criteria=votes_by(criteria, judged, position),
    )
