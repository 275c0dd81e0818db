"""What must hold for any responses, votes and failures."""

import asyncio
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.config import NEUTRAL_REWARD
from grm_plugin.errors import EngineError
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Judgement, Prompt, Sampling
from support.factories import Scripted, by_number, completions, make_config, make_group, responses_shown, scoring

METHODS = st.sampled_from(sorted(NEUTRAL_REWARD))
SCORE = st.integers(1, 10)


def judged(config: Any, generator: Scripted, responses: list[str]) -> Judgement:
    return asyncio.run(Judge(config, generator).judge_group(make_group(*responses)))


def permuted(data: st.DataObject, items: list[str]) -> list[int]:
    return data.draw(st.permutations(range(len(items))), label="permutation")


@given(st.data(), st.lists(SCORE, min_size=1, max_size=9), METHODS, st.none() | st.integers(0, 9), st.integers(1, 5))
def test_permuting_the_responses_permutes_the_rewards(
    data: st.DataObject, scores: list[int], method: str, seed: int | None, list_size: int
) -> None:
    config = make_config(sampling={"k": 4, "seed": seed}, judge__list_size=list_size, normalize__method=method)
    responses = [f"{score} (text {index})" for index, score in enumerate(scores)]
    permutation = permuted(data, responses)
    before = judged(config, scoring(by_number), responses).rewards
    after = judged(config, scoring(by_number), [responses[index] for index in permutation]).rewards
    assert [reward.mean for reward in before] == scores
    assert [reward.value for reward in after] == [before[index].value for index in permutation]


@given(st.data(), st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(1, 3))
def test_position_bias_cancels(data: st.DataObject, scores: list[int], rounds: int) -> None:
    n = len(scores)
    bias = data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n), label="bias by position")

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        shown = [by_number(response) + bias[position] for position, response in enumerate(responses_shown(prompt))]
        return completions(*[shown] * sampling.n)

    config = make_config(sampling__k=rounds * n, judge__list_size=n)
    responses = [f"{score} (text {index})" for index, score in enumerate(scores)]
    rewards = judged(config, Scripted(reply), responses).rewards
    expected = [score + sum(bias) / n for score in scores]
    assert all(math.isclose(reward.mean or 0, mean) for reward, mean in zip(rewards, expected, strict=True))


@given(st.data(), st.integers(1, 4), st.integers(1, 8))
def test_lost_votes_never_move_a_mean_out_of_its_votes(data: st.DataObject, n: int, k: int) -> None:
    votes = data.draw(st.lists(st.lists(SCORE, min_size=n, max_size=n), min_size=k, max_size=k), label="votes")
    lost = data.draw(st.sets(st.integers(0, k - 1)), label="lost")

    def generator(without: set[int]) -> Scripted:
        numbers = iter(range(k))

        def one(prompt: Prompt) -> Completion:
            number = next(numbers)
            if number in without:
                return Completion("no verdict")
            return completions([votes[number][index] for index in prompt.order])[0]

        return Scripted(lambda prompt, sampling: [one(prompt) for _ in range(sampling.n)])

    config = make_config(sampling__k=k, normalize__method="none")
    responses = [f"response {index}" for index in range(n)]
    full = judged(config, generator(set()), responses).rewards
    thinned = judged(config, generator(lost), responses).rewards
    for index in range(n):
        column = [vote[index] for vote in votes]
        left = [score for number, score in enumerate(column) if number not in lost]
        mean = thinned[index].mean
        if not left:
            assert (mean, thinned[index].value, thinned[index].status) == (None, None, "no_votes")
            continue
        assert mean is not None
        assert math.isclose(mean, sum(left) / len(left)), "the mean of the votes that are there, and of nothing else"
        # A subset of j of k votes lies within sqrt((k - j) / j) population standard deviations of the whole.
        bound = math.sqrt((k - len(left)) / len(left)) * (full[index].spread or 0.0)
        assert abs(mean - (full[index].mean or 0.0)) <= bound + 1e-9


FAULTS = st.sampled_from(["fine", "fine", "raise", "empty", "short", "garbage", "out of range", "truncated"])


@given(
    st.data(),
    METHODS,
    st.integers(1, 6),
    st.none() | st.floats(0.01, 5),
    st.sampled_from([None, {"model": "owner/meta"}]),
)
def test_values_are_finite_or_none_whatever_fails(
    data: st.DataObject, method: str, n: int, clip: float | None, meta: dict[str, str] | None
) -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        scores = data.draw(st.lists(SCORE, min_size=len(prompt.order), max_size=len(prompt.order)))
        match data.draw(FAULTS):
            case "raise":
                raise EngineError("gone")
            case "empty":
                return []
            case "short":
                return completions(scores)
            case "garbage":
                return [Completion(data.draw(st.text(max_size=20)))] * sampling.n
            case "out of range":
                return completions(*[[*scores[1:], 11]] * sampling.n)
            case "truncated":
                return [Completion(c.text, "length") for c in completions(*[scores] * sampling.n)]
            case _:
                return completions(*[scores] * sampling.n)

    class Meta:
        async def rate(self, conversations: Any) -> list[float]:
            return data.draw(st.lists(st.floats(), max_size=10))

    clip = clip if method in ("group", "running") else None
    config = make_config(
        sampling__k=4,
        judge__list_size=3,
        normalize={"method": method, "clip": clip},
        **({"meta_rm": meta} if meta else {}),
    )
    judge = Judge(config, Scripted(reply), Meta() if meta else None)
    groups = [make_group(*[f"response {index}" for index in range(n)]), make_group("x", " ")]
    for judgement in [asyncio.run(judge.judge_group(group)) for group in groups]:
        assert len(judgement.rewards) == len(judgement.group.responses)
        for reward in judgement.rewards:
            assert (reward.value is None) == (reward.status == "no_votes") == (reward.mean is None)
            if reward.value is not None and reward.mean is not None and reward.unit_mean is not None:
                assert math.isfinite(reward.value)
                assert clip is None or abs(reward.value) <= clip
                assert 1 <= reward.mean <= 10
                assert 0 <= reward.unit_mean <= 1
            assert reward.meta is None or math.isfinite(reward.meta)
            assert reward.votes_asked >= reward.votes_parsed >= reward.votes_kept
