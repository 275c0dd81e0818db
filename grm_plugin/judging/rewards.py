"""From votes to rewards: maps the lists of a group back to its responses and normalises over the whole group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from grm_plugin.config import Config
from grm_plugin.judging.normalize import Normalizer, unit
from grm_plugin.judging.sanitizing import shows_nothing
from grm_plugin.types import MIN_SCORE, Group, Judgement, ListJudgement, Reward


def conclude(
    group: Group, lists: Sequence[ListJudgement], config: Config, normalizer: Normalizer, latency_s: float = 0.0
) -> Judgement:
    """Rewards of a group from the judgements of its lists.

    Of a response that stands in several lists the last one counts; what the earlier ones cost is added. A response
    that stands in no list was not put before the GRM: a blank one gets the lowest score
    (`judge.blank_response`), any other has no votes.
    """
    raw = [_unjudged(response, config) for response in group.responses]
    for judged in lists:
        for position, member in enumerate(judged.members):
            raw[member] = _judged(judged, position, raw[member])
    values = normalizer.normalize([reward.mean for reward in raw])
    rewards = tuple(replace(reward, value=value) for reward, value in zip(raw, values, strict=True))
    return Judgement(group, rewards, tuple(lists), latency_s)


def is_blank(response: str, config: Config) -> bool:
    """Whether the blank rule, and not the GRM, scores this response."""
    return config.judge.blank_response == "minimum" and shows_nothing(response)


def _unjudged(response: str, config: Config) -> Reward:
    if not is_blank(response, config):
        return Reward(None, "no_votes")
    return Reward(None, "blank", mean=float(MIN_SCORE), spread=0.0, unit=0.0)


def _judged(judged: ListJudgement, position: int, before: Reward) -> Reward:
    kept = [critique for critique in judged.critiques if critique.kept]
    ratings = [critique.meta for critique in kept if critique.meta is not None]
    vote = judged.votes[position]
    reward = Reward(
        value=None,
        status="no_votes",
        votes_asked=before.votes_asked + judged.asked,
        votes_parsed=len(judged.critiques),
        votes_kept=len(kept),
        meta=fmean(ratings) if ratings else None,
        meta_failed=bool(judged.meta_error),
        tokens=before.tokens + judged.tokens / len(judged.members),
        cut=judged.cut[position],
    )
    if vote is None:
        return reward
    return replace(reward, status="ok", mean=vote.mean, total=vote.total, spread=vote.spread, unit=unit(vote.mean))
