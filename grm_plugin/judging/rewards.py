"""From votes to rewards: maps the lists of a group back to its responses and normalises over the whole group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from grm_plugin.judging.normalize import Normalizer, to_unit_interval
from grm_plugin.types import MIN_SCORE, ListJudgement, Reward

NO_VOTES = Reward(None, "no_votes")
BLANK = Reward(None, "blank", mean=float(MIN_SCORE), spread=0.0, unit_mean=0.0)
"""The lowest score, by rule."""


def rewards_of(
    n: int,
    lists: Sequence[ListJudgement],
    blank: Collection[int],
    copies: Mapping[int, int],
    normalizer: Normalizer,
    learn: bool = True,
    reliability: float | None = None,
) -> tuple[Reward, ...]:
    """Rewards of a group from the votes on its lists.

    Of a response that stands in several lists the first one with votes counts; what all of them cost is added. A
    response that stands in none has no votes.

    Args:
        n: responses of the group.
        lists: the votes on them.
        blank: indices of those that get the lowest score by rule.
        copies: index of each response that no list holds, because an earlier one reads the same -> that one's index.
            Both get its votes, and share its tokens.
        normalizer: makes rewards of means.
        learn: whether method `running` learns from this group.
        reliability: of mean votes, to be told with the rewards that rest on votes.
    """
    raw = [BLANK if index in blank else NO_VOTES for index in range(n)]
    for judged in lists:
        for position, member in enumerate(judged.members):
            raw[member] = _judged(judged, position, raw[member])
    alike: dict[int, list[int]] = defaultdict(list)
    for index, first in copies.items():
        alike[first].append(index)
    for first, further in alike.items():
        tokens = sum(raw[index].tokens for index in (first, *further)) / (1 + len(further))
        raw[first] = replace(raw[first], tokens=tokens)
        for index in further:
            raw[index] = replace(raw[first], same_as=first)
    values = normalizer.normalize([reward.mean for reward in raw], learn)
    return tuple(
        replace(reward, value=value, reliability=reliability if reward.status == "ok" else None)
        for reward, value in zip(raw, values, strict=True)
    )


def _judged(judged: ListJudgement, position: int, before: Reward) -> Reward:
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
    )
