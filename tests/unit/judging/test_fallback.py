import math

import pytest

from grm_plugin.config import FailureConfig
from grm_plugin.errors import RewardError
from grm_plugin.judging.fallback import LOG_KEYS, NEUTRAL_UNIT_MEAN, Settled, log_values, settle
from grm_plugin.types import Reward, Stopped
from support.factories import make_config

LOST = Reward(None, "no_votes", votes_asked=8)
BLANK = Reward(-1.5, "blank", mean=1.0, spread=0.0, unit_mean=0.0)


def voted(value: float, unit: float) -> Reward:
    return Reward(value, "ok", mean=1 + 9 * unit, total=8 * (1 + 9 * unit), spread=0.5, unit_mean=unit, votes_asked=8)


def policy(name: str, constant: float = -7.0) -> FailureConfig:
    return make_config(failure__policy=name, failure__constant=constant).failure


@pytest.mark.parametrize("name", ["group_mean", "constant", "raise"])
def test_rewards_that_are_there_are_left_alone(name: str) -> None:
    rewards = [voted(2.0, 0.9), BLANK]
    assert settle(rewards, policy(name)) == [Settled(2.0, 0.9, False), Settled(-1.5, 0.0, False)]


def test_group_mean_is_the_mean_of_the_others() -> None:
    settled = settle([voted(1.0, 0.5), LOST, voted(4.0, 0.9), LOST], policy("group_mean"))
    assert [row.value for row in settled] == [1.0, 2.5, 4.0, 2.5]
    assert [row.unit_mean for row in settled] == [0.5, pytest.approx(0.7), 0.9, pytest.approx(0.7)]
    assert [row.fallback for row in settled] == [False, True, False, True]
    advantage = settled[1].value - sum(row.value for row in settled) / 4
    assert advantage == 0, "neutral under a group-relative estimator"


def test_the_mean_of_rules_stands_in_where_the_grm_was_not_asked_only() -> None:
    ruled = Reward(0.5, "rule", mean=5.5, spread=0.0, unit_mean=0.5)
    asked, not_asked = (settle([ruled, lost], policy("group_mean")) for lost in (LOST, Reward(None, "no_votes")))
    assert asked[1] == Settled(-7.0, NEUTRAL_UNIT_MEAN, True), "a gate's lowest score is none of a judge's failure"
    assert not_asked[1] == Settled(0.5, 0.5, True)


def test_constant_is_the_constant() -> None:
    settled = settle([voted(1.0, 0.5), LOST], policy("constant"))
    assert [row.value for row in settled] == [1.0, -7.0]
    assert 0 <= settled[1].unit_mean <= 1


@pytest.mark.parametrize("name", ["group_mean", "constant"])
def test_a_group_without_any_vote_gets_the_constant(name: str) -> None:
    assert settle([LOST, LOST], policy(name)) == [Settled(-7.0, NEUTRAL_UNIT_MEAN, True)] * 2


@pytest.mark.parametrize("rewards", [[LOST], [voted(1.0, 0.5), LOST]])
def test_raise_says_how_many_are_missing(rewards: list[Reward]) -> None:
    with pytest.raises(RewardError, match=rf"1 of {len(rewards)} rewards"):
        settle(rewards, policy("raise"))


@pytest.mark.parametrize("reward", [LOST, BLANK, voted(0.5, 0.5), Reward(0.5, "ok", 5.5, unit_mean=0.5, meta=-15.78)])
def test_log_values_have_fixed_keys_and_are_finite(reward: Reward) -> None:
    (settled,) = settle([reward], policy("group_mean"))
    values = log_values(reward, settled, latency_s=1.25)
    assert tuple(values) == LOG_KEYS
    assert all(type(value) is float and math.isfinite(value) for value in values.values())


def test_log_keys_are_pinned() -> None:
    assert LOG_KEYS == (
        "grm_mean",
        "grm_spread",
        "grm_votes_kept",
        "grm_votes_asked",
        "grm_rounds",
        "grm_stopped",
        "grm_tiebreak_votes",
        "grm_reliability",
        "grm_length_corr",
        "grm_forced",
        "grm_votes_lost",
        "grm_meta",
        "grm_meta_failed",
        "grm_fallback",
        "grm_latency_s",
        "grm_tokens",
        "grm_cut_chars",
    )


def test_log_values_say_what_happened() -> None:
    reward = Reward(
        0.5, "ok", 5.5, 22.0, 1.5, 0.5, votes_asked=8, votes_parsed=6, votes_kept=4, meta=1.31, tokens=99.5, cut=12,
        rounds=2, stopped=Stopped.WINNER, reliability=0.7, length_corr=-0.2, votes_forced=1,
        votes_tiebreak=4,
    )  # fmt: skip
    assert log_values(reward, Settled(0.5, 0.5, False), latency_s=2.0) == {
        "grm_mean": 5.5,
        "grm_spread": 1.5,
        "grm_votes_kept": 4,
        "grm_votes_asked": 8,
        "grm_rounds": 2,
        "grm_stopped": 1,
        "grm_tiebreak_votes": 4,
        "grm_reliability": 0.7,
        "grm_length_corr": -0.2,
        "grm_forced": 0.25,
        "grm_votes_lost": 2,
        "grm_meta": 1.31,
        "grm_meta_failed": 0,
        "grm_fallback": 0,
        "grm_latency_s": 2.0,
        "grm_tokens": 99.5,
        "grm_cut_chars": 12,
    }


def test_a_response_without_votes_is_told_from_a_blank_one() -> None:
    lost, blank = (log_values(one, settle([one], policy("constant"))[0], 0.0) for one in (LOST, BLANK))
    assert (lost["grm_mean"], lost["grm_votes_kept"], lost["grm_fallback"]) == (0, 0, 1)
    assert (blank["grm_mean"], blank["grm_votes_kept"], blank["grm_fallback"]) == (1, 0, 0)


def test_a_blank_sibling_is_no_measure_for_a_missing_reward() -> None:
    blank = Reward(0.0, "blank", mean=1.0, unit_mean=0.0)
    assert settle([blank, LOST], FailureConfig(constant=0.4)) == [Settled(0.0, 0.0, False), Settled(0.4, 0.5, True)]
