"""The weight of forced votes, and that they are left out exactly where the mean vote is better without them."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from grm_plugin.judging.forced_weight import FEWEST_FORCED, ForcedWeight
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Critique, Prompt, Sampling, UnparsedReason
from support.cut_critiques import Cut, cut
from support.factories import critique_text, judge_one, make_config, make_critique

SIGNAL, NOISE = 1.5, 1.0


def lists_of(signal: float, noise: float, seed: int = 0, n: int = 4, lists: int = 600) -> Iterator[list[Critique]]:
    """Lists of six natural votes and two forced ones, which have so many times their signal and noise (variance)."""
    rng = random.Random(seed)
    for _ in range(lists):
        truth = [rng.gauss(0, SIGNAL) for _ in range(n)]
        yield [
            make_critique(
                *(
                    5.5
                    + leniency
                    + (signal if forced else 1) * value
                    + rng.gauss(0, NOISE * (noise**0.5 if forced else 1))
                    for value in truth
                ),
                sample=sample,
                forced=forced,
            )
            for sample, forced in enumerate([False] * 6 + [True] * 2)
            for leniency in [rng.gauss(0, 1)]
        ]


@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize(("signal", "noise"), [(1.0, 1.0), (0.5, 1.0), (1.0, 3.0), (0.0, 1.0), (0.4, 0.5), (1.3, 1.0)])
def test_the_weight_is_signal_by_noise(signal: float, noise: float, n: int) -> None:
    weight = ForcedWeight()
    for critiques in lists_of(signal, noise, n=n, lists=2000):
        weight.learn(critiques)
    assert weight.weight == pytest.approx(signal / noise, rel=0.25, abs=0.1)


@pytest.mark.parametrize(("signal", "noise"), [(1.0, 1.0), (0.8, 1.0), (0.2, 1.0), (1.0, 4.0), (0.0, 0.5)])
def test_forced_votes_count_where_the_mean_is_better_with_them(signal: float, noise: float) -> None:
    weight = ForcedWeight()
    for critiques in lists_of(signal, noise):
        weight.learn(critiques)
    # Of the mean of seven natural votes and one forced: signal by noise, with it and without it.
    with_it, without = (7 + signal) / (7 + noise) ** 0.5, 7**0.5
    assert weight.count() == (with_it > without)


def test_few_forced_votes_count_whatever_they_say() -> None:
    weight = ForcedWeight()
    for critiques in lists_of(0.0, 1.0, lists=FEWEST_FORCED // 2 - 5):
        weight.learn(critiques)
    assert (weight.weight, weight.count()) == (None, True)


@pytest.mark.parametrize(
    "critiques",
    [
        [make_critique(5, forced=True), make_critique(7), make_critique(2)],
        [make_critique(5, 3, forced=True), make_critique(7, 8)],
        [make_critique(5, 3, forced=True)] * 3,
        [],
        [make_critique(5, 5), make_critique(5, 5), make_critique(5, 1, forced=True)],
    ],
    ids=["single responses", "one natural vote", "no natural vote", "no vote", "natural votes without signal"],
)
def test_where_nothing_tells_forced_votes_count(critiques: list[Critique]) -> None:
    weight = ForcedWeight()
    for _ in range(FEWEST_FORCED + 1):
        weight.learn(critiques)
    assert (weight.weight, weight.count()) == (None, True)


def test_a_leniency_of_critiques_changes_nothing() -> None:
    plain, lenient = ForcedWeight(), ForcedWeight()
    for critiques in lists_of(0.7, 1.2):
        plain.learn(critiques)
        lenient.learn([make_critique(*(s + c.sample for s in c.scores), forced=c.forced) for c in critiques])
    assert lenient.weight == pytest.approx(plain.weight)


def test_votes_of_long_ago_are_forgotten() -> None:
    weight = ForcedWeight()
    for critiques in lists_of(0.0, 1.0):
        weight.learn(critiques)
    before = weight.count()
    for critiques in lists_of(1.0, 1.0, lists=4000):
        weight.learn(critiques)
    assert (before, weight.count()) == (False, True)


async def test_forced_votes_that_contradict_the_others_are_lost(caplog: pytest.LogCaptureFixture) -> None:
    class Half(Cut):
        """Every second critique is cut, and says the opposite of the others when it is asked."""

        async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
            natural = critique_text([(2, 9)[index == 0] for index in prompt.order])
            return [cut(place) if place % 2 else Completion(natural, tokens=9) for place in range(sampling.n)]

    def behind(prompt: Prompt, begun: Completion) -> Completion:
        scores = ", ".join(str((9, 2)[index == 0]) for index in prompt.order)
        return Completion(f"\nScores: \\boxed{{{scores}}}", tokens=5)

    config = make_config(sampling={"force_answer": True, "k": 8, "max_tokens": 100})
    judge = Judge(config, Half(behind))
    first = await judge_one(judge, "a", "b")
    with caplog.at_level(logging.WARNING):
        for _ in range(60):
            judgement = await judge_one(judge, "a", "b")
    assert [reward.mean for reward in first.rewards] == [5.5, 5.5], "until enough is known they count"
    assert [reward.mean for reward in judgement.rewards] == [9, 2]
    assert [(reward.votes_parsed, reward.votes_forced) for reward in judgement.rewards] == [(4, 0)] * 2
    lost = judgement.lists[0].unparsed
    assert {(vote.reason, vote.tokens) for vote in lost} == {(UnparsedReason.TRUNCATED, 105)}
    assert all("forced answer" in vote.detail for vote in lost)
    assert len([line for line in caplog.messages if "force_answer" in line]) == 1
