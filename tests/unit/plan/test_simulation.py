"""The simulated pool, against the arithmetic where both must agree, and against itself."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from grm_plugin.plan.simulation import _lengths, simulate
from grm_plugin.serving.capacity import Speed, Tokens, seconds, step_of
from support.factories import make_config

CONFIG = make_config(sampling__k=8, judge__list_size=4)
EQUAL = Tokens(400.0, 400.0)


@pytest.mark.parametrize("replicas", [1, 2, 4])
@pytest.mark.parametrize("speed", [Speed(0.02, 0.0, 64), Speed(0.005, 0.001, 64)], ids=["flat", "rising"])
def test_a_burst_of_equal_critiques_takes_what_arithmetic_says(replicas: int, speed: Speed) -> None:
    step = step_of(CONFIG, 64, 8, EQUAL)
    assert simulate(step, speed, replicas).last_s == pytest.approx(seconds(step, speed, replicas), rel=0.02)


def test_reading_prompts_takes_its_time() -> None:
    step = step_of(CONFIG, 64, 8, Tokens(400.0, 400.0, 1000.0))
    speed = Speed(0.02, 0.0, 64, prompt_s=1e-4)
    assert simulate(step, speed, 2).last_s == pytest.approx(seconds(step, speed, 2), rel=0.1)


def test_littles_law_holds_in_the_simulation() -> None:
    """With critiques of one length and places for all, each takes the same time: in flight = rate x that time."""
    step = step_of(CONFIG, 200, 4, EQUAL)
    speed = Speed(0.02, 0.0, 100_000)
    seen = simulate(step, speed, 4, rollout_s=1000.0)
    span = seen.last_s
    assert seen.in_flight == pytest.approx(step.critiques / span * 400 * 0.02, rel=0.01)
    assert seen.waited_s == pytest.approx(8.0)  # the last list comes when the rollout ends


def test_a_pool_that_keeps_up_leaves_only_the_last_list_to_wait_for() -> None:
    step = step_of(CONFIG, 256, 8, Tokens(400.0, 700.0))
    speed = Speed(0.01, 0.0002, 64)
    slow, fast = simulate(step, speed, 1, rollout_s=200.0), simulate(step, speed, 8, rollout_s=200.0)
    assert slow.waited_s > 5 * fast.waited_s
    assert fast.waited_s < 30
    assert slow.busy > fast.busy


def test_lengths_have_their_mean_and_their_longest() -> None:
    drawn = sorted(_lengths(Tokens(450.0, 900.0), 40_000, random.Random(0)))
    assert fmean(drawn) == pytest.approx(450, rel=0.02)
    assert drawn[int(0.95 * len(drawn))] == pytest.approx(900, rel=0.04)


def test_thousands_of_replicas_and_millions_of_critiques_are_simulated_in_part() -> None:
    step = step_of(CONFIG, 200_000, 8, EQUAL)
    speed = Speed(0.02, 0.0, 64)
    for replicas in (4096, 1999, 7, 3):
        assert simulate(step, speed, replicas).last_s == pytest.approx(seconds(step, speed, replicas), rel=0.05)


def test_the_same_seed_gives_the_same() -> None:
    step = step_of(CONFIG, 20, 8, Tokens(400.0, 700.0))
    speed = Speed(0.02, 0.001, 16)
    assert simulate(step, speed, 2, seed=1) == simulate(step, speed, 2, seed=1)
    assert simulate(step, speed, 2, seed=1) != simulate(step, speed, 2, seed=2)


@pytest.mark.parametrize(("prompts", "n", "k", "replicas"), [(1, 4096, 128, 57), (1, 4096, 100, 8), (7, 64, 1024, 16)])
def test_few_prompts_are_simulated_as_they_are(prompts: int, n: int, k: int, replicas: int) -> None:
    """However little of a prompt is simulated, and also where replicas outnumber lists, whose orders are spread."""
    config = make_config(sampling__k=k, judge__list_size=4)
    step, speed = step_of(config, prompts, n, EQUAL), Speed(0.02, 0.0, 256)
    assert simulate(step, speed, replicas).last_s == pytest.approx(seconds(step, speed, replicas), rel=0.1)


def test_lists_are_spread_where_replicas_outnumber_them() -> None:
    step, speed = step_of(CONFIG, 1, 4, EQUAL), Speed(0.02, 0.001, 64)
    assert simulate(step, speed, 4).last_s == pytest.approx(400 * speed.token_s(2))


@pytest.mark.parametrize("rollout_s", [1e4, 1e6])
def test_a_clock_that_is_too_coarse_ends_all_the_same(rollout_s: float) -> None:
    """A token takes less time than a float of this size can tell."""
    step = step_of(CONFIG, 20, 4, Tokens(7.0, 9.0))
    assert simulate(step, Speed(1e-12, 0.0, 64), 2, rollout_s).last_s == pytest.approx(rollout_s)
