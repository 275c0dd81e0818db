"""The arithmetic of a pool, against the pipeline itself on a clock that jumps, and against published figures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from grm_plugin.config import Config
from grm_plugin.engines.fake import FakeEngine, score_by_vocabulary
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.capacity import (
    Measured,
    Speed,
    Tokens,
    described,
    fit_speed,
    held_at_once,
    largest_k,
    replicas_beside,
    replicas_within,
    seconds,
    step_of,
    tokens_per_s_within,
)
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import make_config, make_group
from support.skipping_loop import run_skipping

ONE = Tokens(1.0, 1.0)


class Pool:
    """Replicas of the fake engine, each of which answers so many prompts at once; the least busy one gets the next."""

    def __init__(self, config: Config, replicas: int) -> None:
        engine: Any = config.engine
        self._engines = [FakeEngine(score_by_vocabulary, engine.delay_s) for _ in range(replicas)]
        self._places = [asyncio.Semaphore(engine.max_concurrency) for _ in range(replicas)]
        self._load = [0] * replicas
        self.requests = self.critiques = 0

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        self.requests, self.critiques = self.requests + 1, self.critiques + sampling.n
        place = self._load.index(min(self._load))
        self._load[place] += 1
        try:
            async with self._places[place]:
                return await self._engines[place].generate(prompt, sampling)
        finally:
            self._load[place] -= 1


SHAPES = {
    "as many votes as orders": {"prompts": 40, "n": 8, "k": 4, "list_size": 4, "at_once": 8, "replicas": 2},
    "several votes per order": {"prompts": 30, "n": 4, "k": 16, "list_size": 4, "at_once": 4, "replicas": 3},
    "lists of unequal length": {"prompts": 25, "n": 5, "k": 6, "list_size": 4, "at_once": 16, "replicas": 1},
    "single responses": {"prompts": 64, "n": 3, "k": 8, "list_size": 1, "at_once": 10, "replicas": 2},
    "idle replicas": {"prompts": 2, "n": 2, "k": 2, "list_size": 2, "at_once": 64, "replicas": 4},
    "pairs": {"prompts": 5, "n": 5, "k": 6, "at_once": 8, "replicas": 2, "mode": "pairwise"},
    "circles": {"prompts": 9, "n": 6, "k": 3, "at_once": 8, "replicas": 1, "mode": "pairwise", "pairs": "circular"},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=[*SHAPES])
def test_a_step_takes_as_long_as_the_judge_with_a_fake_engine(shape: dict[str, Any]) -> None:
    """The seconds are those of the pipeline within 15 %; what it asks for is counted exactly."""
    delay_s, replicas = 0.5, shape["replicas"]
    config = make_config(
        engine__delay_s=delay_s,
        engine__max_concurrency=shape["at_once"],
        judge__list_size=shape.get("list_size", 4),
        judge__mode=shape.get("mode", "listwise"),
        judge__comparisons=shape.get("pairs", "all"),
        sampling__k=shape["k"],
    )
    pool = Pool(config, replicas)
    answers = [f"{' '.join(f'word{word}' for word in range(number + 3))}" for number in range(shape["n"])]
    groups = [make_group(*answers, question=f"Question {number}?") for number in range(shape["prompts"])]
    _, took_s = run_skipping(Judge(config, pool).judge(groups))
    step = step_of(config, shape["prompts"], shape["n"], ONE)
    assert (step.requests, step.critiques) == (pool.requests, pool.critiques)
    speed = Speed(delay_s, 0.0, held_at_once(config, step, None, None))
    assert seconds(step, speed, replicas) == pytest.approx(took_s, rel=0.15)


def test_a_tiebreak_asks_for_no_more_than_the_plan_says() -> None:
    """All responses are level here, so every pair of neighbours is compared."""
    config = make_config(judge={"mode": "tiebreak", "list_size": 3, "tiebreak": {"k": 2}}, sampling__k=4)
    pool = Pool(config, 1)
    groups = [make_group(*(f"word{place}" for place in range(5)), question=f"Question {n}?") for n in range(3)]
    run_skipping(Judge(config, pool).judge(groups))
    step = step_of(config, 3, 5, ONE)
    assert (step.requests, step.critiques) == (pool.requests, pool.critiques) == (3 * 11, 3 * (2 * 4 + 3 * 2))
    assert (step.lists, step.tiebreaks, step.tiebreak_critiques) == (15, 9, 18)
    said = described(config, step)
    assert said.startswith("at most: 3 prompts x 2 list(s) of their 5 responses x k = 4, and 18 if all")
    assert said.endswith("9 pairs x 2")


def test_a_published_model_is_as_fast_as_was_measured() -> None:
    """Qwen3-32B on an H100: 1,132 tokens/s with 88 ms from token to token, so some 100 sequences at a time."""
    config = make_config(engine__type="vllm", engine__model="a/b", sampling__k=8, judge__list_size=4)
    step = step_of(config, 128, 8, Tokens(450.0, 450.0, 2500.0))
    assert (step.lists, step.requests, step.critiques, step.generated) == (256, 1024, 2048, 921_600)
    speed = fit_speed([Measured(100, 1132)], 1024)
    assert speed.at_once == 100
    assert seconds(step, speed, 1) == pytest.approx(815, rel=0.03)
    assert 204 < seconds(step, speed, 4) < 240  # 512 critiques by hundreds: the last ones leave places empty


def test_the_kv_cache_limits_what_is_written_at_once() -> None:
    """Gemma-2-27B on 80 GB holds 54,000 tokens: 32 critiques that share a prompt of 2,500 by twos, 71 by eights."""
    for votes, at_once in ((2, 32), (8, 71)):
        config = make_config(sampling__k=4 * votes, judge__list_size=4)
        step = step_of(config, 1, 4, Tokens(450.0, 450.0, 2500.0))
        assert held_at_once(config, step, 256, 54_000) == pytest.approx(at_once, abs=1)
    assert held_at_once(config, step, 16, 54_000) == 16
    assert held_at_once(config, step, None, 1.0) == 1


def test_greedy_critiques_are_written_once_per_order() -> None:
    step = step_of(make_config(sampling__k=32, sampling__temperature=0.0, judge__list_size=4), 3, 4, ONE)
    assert (step.critiques, step.written) == (96, 12)


SPEED = Speed(0.02, 0.0005, 64)


def test_the_fewest_replicas_are_found() -> None:
    step = step_of(make_config(sampling__k=8), 128, 8, Tokens(400.0, 700.0))
    for limit_s in (40.0, 100.0, 333.0):
        found = replicas_within(step, SPEED, limit_s)
        assert found is not None
        assert seconds(step, SPEED, found) <= limit_s
        assert found == 1 or seconds(step, SPEED, found - 1) > limit_s
    assert replicas_within(step, SPEED, 1.0) is None  # one critique takes longer


def test_keeping_up_with_a_rollout_is_a_question_of_throughput() -> None:
    """One critique may take longer than the rollout: the last lists are waited for anyway."""
    step = step_of(make_config(sampling__k=8), 128, 8, Tokens(400.0, 700.0))
    work_s = step.generated / SPEED.tokens_per_s(64)
    assert replicas_beside(step, SPEED, work_s) == 2  # a fifth is to spare
    assert replicas_beside(step, SPEED, 2 * work_s) == 1
    assert replicas_beside(step, SPEED, 1.0) > 100


def test_the_largest_k_is_found() -> None:
    config = make_config(sampling__k=8)
    step = step_of(config, 128, 8, Tokens(400.0, 700.0))
    k = largest_k(config, step, SPEED, 2, 500.0)
    assert seconds(step_of(config, 128, 8, step.tokens, k), SPEED, 2) <= 500.0
    assert seconds(step_of(config, 128, 8, step.tokens, k + 1), SPEED, 2) > 500.0
    assert largest_k(config, step, SPEED, 2, 1.0) == 0


def test_what_a_deadline_asks_of_each_replica() -> None:
    step = step_of(make_config(sampling__k=8), 128, 8, Tokens(450.0, 450.0))
    assert tokens_per_s_within(step, 2, 100.0) == 921_600 / 200


@pytest.mark.parametrize("truth", [Speed(0.02, 0.0005, 512), Speed(0.0, 0.001, 512)], ids=["both", "no step"])
def test_measurements_give_the_speed_back(truth: Speed) -> None:
    points = [Measured(width, truth.tokens_per_s(width)) for width in (1, 4, 16, 64, 256)]
    found = fit_speed(points, 512)
    assert (found.step_s, found.sequence_s, found.at_once) == pytest.approx((truth.step_s, truth.sequence_s, 512))


@pytest.mark.parametrize(
    "points",
    [
        [Measured(64, 1000.0)],
        [Measured(63, 990.0), Measured(64, 1000.0)],
        [Measured(16, 400.0), Measured(64, 1600.0)],  # faster as they get more: nothing says where that ends
    ],
    ids=["one", "one width", "no cost"],
)
def test_nothing_is_promised_beyond_the_widest_measurement(points: list[Measured]) -> None:
    speed = fit_speed(points, 1024)
    assert speed.at_once == 64
    assert speed.tokens_per_s(64) <= 1600.0 * 1.001


def test_queues_that_grow_do_not_make_a_negative_step() -> None:
    """Where critiques wait, seconds per token grow faster than the width."""
    speed = fit_speed([Measured(10, 1000.0), Measured(100, 500.0)], 64)
    assert speed.step_s == 0.0
    assert speed.sequence_s > 0


def test_no_measurement_is_no_speed() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        fit_speed([Measured(0, 0.0)], 8)
