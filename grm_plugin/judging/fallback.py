"""What a trainer gets where the judge has no reward, and the log values that go with every reward.

The judge never invents a number. Trainers that cannot take None get one from here, counted and logged as a fallback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from grm_plugin.config import FailureConfig
from grm_plugin.errors import RewardError
from grm_plugin.types import CriterionReward, Reward, Stopped

NEUTRAL_UNIT_MEAN = 0.5
"""Middle of [0, 1]: what stands for the mean vote in a group without any vote."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A reward that any trainer can take.

    `value` and `unit_mean` (the mean vote mapped to [0, 1]) are finite. `fallback`: they rest on no vote; `unit_mean`
    is then the mean of the group's others, or `NEUTRAL_UNIT_MEAN`.
    """

    value: float
    unit_mean: float
    fallback: bool


@dataclass(frozen=True, slots=True)
class SettledReward(Settled):
    """A finished reward, as it goes to a trainer: `logs` is logged beside it, always under the keys `LOG_KEYS`."""

    logs: dict[str, float]


def settle(rewards: Sequence[Reward], policy: FailureConfig) -> list[Settled]:
    """Apply `failure.policy` to the rewards of one group, in order.

    group_mean gives a missing reward the mean of the group's others, which has no advantage under group-relative
    estimators, and `failure.constant` where all are missing.

    Raises:
        RewardError: a reward is missing and the policy is `raise`.
    """
    there = [
        Settled(reward.value, reward.unit_mean, fallback=False)
        for reward in rewards
        if reward.value is not None and reward.unit_mean is not None
    ]
    if len(there) == len(rewards):
        return there
    missing = sum(reward.value is None for reward in rewards)
    if missing and policy.policy == "raise":
        raise RewardError(
            f"{missing} of {len(rewards)} rewards of a group have no vote; failure.policy is 'raise' "
            "(group_mean or constant would go on)"
        )
    # Only voted rewards: the mean of those that get the minimum by rule would punish a judge's failure. Where the GRM
    # was not asked at all, those that the user's rules gave.
    asked = any(reward.votes_asked or reward.status == "ok" for reward in rewards)
    counted = "ok" if asked else "rule"
    values = [reward.value for reward in rewards if reward.value is not None and reward.status == counted]
    unit_means = [reward.unit_mean for reward in rewards if reward.unit_mean is not None and reward.status == counted]
    value = fmean(values) if values and policy.policy == "group_mean" else policy.constant
    unit_mean = fmean(unit_means) if unit_means else NEUTRAL_UNIT_MEAN
    return [
        Settled(value, unit_mean, fallback=True)
        if reward.value is None or reward.unit_mean is None
        else Settled(reward.value, reward.unit_mean, fallback=False)
        for reward in rewards
    ]


LOG_MEANINGS = {
    "grm_mean": "Mean of the kept votes on the response, 1..10; with rules, of both together. 0 where `grm_fallback` "
    "is 1: read them together. 1 for a blank response, which has its reward by rule.",
    "grm_spread": "Standard deviation of the kept votes; 0 without votes.",
    "grm_votes_kept": "Critiques that voted, after the meta RM's choice.",
    "grm_votes_asked": "Critiques that were asked for: k, or fewer where `sampling.adaptive` stopped early; in "
    "`judge.mode` pairwise of each pair with the response.",
    "grm_rounds": "Rounds in which they were asked for: 1 without `sampling.adaptive`; 0 where the GRM was not asked.",
    "grm_stopped": "1 where `sampling.adaptive` stopped before k votes; else 0.",
    "grm_tiebreak_votes": "Of those asked for, critiques that compared the response with a sibling because their votes "
    "did not separate; 0 without `judge.mode` tiebreak.",
    "grm_reliability": "How much of what separates the mean votes of a list is signal, 0 to 1, over about the last "
    "2,000 lists that this process has judged; 0 while nothing tells (lists of one, k = 1). In `judge.mode` pairwise "
    "of the shares of comparisons won in a group; without what tie-breaks add. `grm-plugin votes` says how many votes "
    "would make it 0.8 or 0.9.",
    "grm_length_corr": "Correlation of rewards with the length of responses in characters, -1 to 1, inside groups and "
    "over about the last 2,000 that this process has judged: of the mean votes, less `normalize.length_penalty`. Near "
    "1 longer is better, whatever it says; 0 while nothing tells (one sample per prompt, equal lengths).",
    "grm_forced": "Share of the critiques that voted which were cut off and asked for their scores, 0 to 1 "
    "(`sampling.force_answer`); 0 without votes.",
    "grm_votes_lost": "Critiques that gave no vote, for whatever reason.",
    "grm_meta": "Mean logit that the meta RM gave to the kept critiques; 0 without ratings.",
    "grm_meta_failed": "1 where the meta RM could not rate the response's critiques (it is down, late or wrong, or "
    "they are too long for it), so that all of them voted; else 0, also without a meta RM. Its mean is the share of "
    "responses whose votes went unfiltered.",
    "grm_fallback": "1 where the reward rests on no vote and `failure.policy` gave it; else 0.",
    "grm_latency_s": "Seconds until the reward, to be read against `failure.deadline_s`. In the service it counts from "
    "the arrival of the sample, the wait for its siblings included; in a hook that sends whole groups, from when the "
    "call is sent.",
    "grm_tokens": "Tokens that the GRM generated for the response: its share of its list's.",
    "grm_cut_chars": "Characters of an over-long response that the GRM was not shown.",
}
"""What is logged beside a reward: key -> meaning. Always these keys, because OpenRLHF batches log values by key."""

LOG_KEYS = tuple(LOG_MEANINGS)
"""The keys of `log_values`, in their order; behind them stands one for each criterion of the configuration."""

CRITERION_KEY = "grm_criterion_"
"""Begins the key of a criterion's column (`judge.criteria`), before its name: the mean of its votes, 1..10, or what its
rule says on that scale; higher is better. Where it has none, the mean of the group's others, or 5.5: trainers that take
these columns for rewards (GDPO) must not take a failure for a score."""


def missing(columns: Sequence[str] = ()) -> Reward:
    """The reward of a response that nobody has judged; `columns` are the criteria of the configuration."""
    return Reward(None, "no_votes", criteria=tuple(map(CriterionReward, columns)))


class Scored(Protocol):
    """What is logged of a criterion: see `types.CriterionReward`."""

    @property
    def name(self) -> str: ...
    @property
    def settled(self) -> float: ...
    @property
    def own(self) -> bool: ...


class Voted(Protocol):
    """What is logged of a reward's votes: of a `Reward`, also in the form in which it travels (`wire.schemas`)."""

    @property
    def mean(self) -> float | None: ...
    @property
    def spread(self) -> float | None: ...
    @property
    def votes_asked(self) -> int: ...
    @property
    def votes_parsed(self) -> int: ...
    @property
    def votes_kept(self) -> int: ...
    @property
    def votes_forced(self) -> int: ...
    @property
    def rounds(self) -> int: ...
    @property
    def stopped(self) -> str: ...
    @property
    def reliability(self) -> float | None: ...
    @property
    def length_corr(self) -> float | None: ...
    @property
    def votes_tiebreak(self) -> int: ...
    @property
    def meta(self) -> float | None: ...
    @property
    def meta_failed(self) -> bool: ...
    @property
    def tokens(self) -> float: ...
    @property
    def cut(self) -> int: ...
    @property
    def criteria(self) -> Sequence[Scored]: ...


def with_logs(reward: Voted, settled: Settled, latency_s: float) -> SettledReward:
    """The finished reward of a response, `latency_s` seconds after it was asked for."""
    logs = log_values(reward, settled, latency_s)
    return SettledReward(settled.value, settled.unit_mean, settled.fallback, logs)


def log_values(reward: Voted, settled: Settled, latency_s: float) -> dict[str, float]:
    """The values logged beside a reward, always finite, under the keys `LOG_MEANINGS`, and a `CRITERION_KEY` for each
    criterion of the configuration; `latency_s` is in seconds."""
    values = {
        "grm_mean": reward.mean or 0.0,
        "grm_spread": reward.spread or 0.0,
        "grm_votes_kept": float(reward.votes_kept),
        "grm_votes_asked": float(reward.votes_asked),
        "grm_rounds": float(reward.rounds),
        "grm_stopped": float(reward.stopped != Stopped.ALL),
        "grm_tiebreak_votes": float(reward.votes_tiebreak),
        "grm_reliability": reward.reliability or 0.0,
        "grm_length_corr": reward.length_corr or 0.0,
        "grm_forced": reward.votes_forced / (reward.votes_kept or 1),
        "grm_votes_lost": float(reward.votes_asked - reward.votes_parsed),
        "grm_meta": reward.meta or 0.0,
        "grm_meta_failed": float(reward.meta_failed),
        "grm_fallback": float(settled.fallback),
        "grm_latency_s": latency_s,
        "grm_tokens": reward.tokens,
        "grm_cut_chars": float(reward.cut),
    }
    for criterion in reward.criteria:
        if not criterion.own:
            values[CRITERION_KEY + criterion.name] = criterion.settled
    return values
