import math

import pytest

from grm_plugin.judging.judge import Judge
from grm_plugin.judging.voting import keep_best, lead, tally, with_ratings
from grm_plugin.types import Completion, Prompt, Sampling
from support.factories import Scripted, completions, make_config, make_critique, make_group


def test_the_papers_votes_sum_to_20_and_27() -> None:
    # Table 17: (8, 8) in the given order, (9, 5) and (10, 7) with the two responses swapped.
    votes = tally([make_critique(8, 8), make_critique(5, 9, sample=1), make_critique(7, 10, sample=2)], n=2)
    assert [vote and vote.total for vote in votes] == [20, 27]
    assert [vote and vote.mean for vote in votes] == [pytest.approx(20 / 3), 9]
    assert votes[1] is not None
    assert votes[1].scores == (8, 9, 10)
    assert votes[1].spread == pytest.approx(math.sqrt(2 / 3))


async def test_the_papers_votes_through_the_judge() -> None:
    straight: list[tuple[int, ...]] = []

    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if sampling.n == 1:
            straight.append(prompt.order)
            return completions((8, 8))
        return completions((9, 5), (10, 7))

    judge = Judge(make_config(sampling__k=3), Scripted(reply))
    (judgement,) = await judge.judge([make_group("a", "b")])
    ((first, second),) = straight  # whichever of the two orders was drawn once is the paper's unswapped one
    assert judgement.rewards[first].total == 20
    assert judgement.rewards[second].total == 27


def test_only_kept_critiques_vote() -> None:
    votes = tally([make_critique(1, 2), make_critique(10, 10, sample=1, kept=False)], n=2)
    assert [vote and vote.scores for vote in votes] == [(1,), (2,)]


@pytest.mark.parametrize("critiques", [[], [make_critique(3, 3, kept=False)]])
def test_without_a_kept_critique_nobody_has_a_vote(critiques: list) -> None:
    assert tally(critiques, n=2) == [None, None]


def kept(metas: list[float | None], k_meta: int) -> list[int]:
    critiques = [make_critique(5, sample=sample, meta=meta) for sample, meta in enumerate(metas)]
    best = keep_best(critiques, k_meta)
    assert [critique.sample for critique in best] == list(range(len(metas))), "the order of the input is preserved"
    return [critique.sample for critique in best if critique.kept]


@pytest.mark.parametrize(
    ("metas", "k_meta", "expected"),
    [
        ([0.1, 0.9, 0.5, 0.7], 2, [1, 3]),
        ([-15.78, 1.31, 1.67], 1, [2]),
        ([0.5, 0.5, 0.5, 0.5], 2, [0, 1]),
        ([0.1, 0.5, 0.9, 0.5], 2, [1, 2]),
        ([0.0, -0.0, -1.0], 1, [0]),
        ([0.2, 0.1], 4, [0, 1]),
        ([], 4, []),
        ([0.2, None, 0.9], 1, [0, 1, 2]),
    ],
)
def test_the_best_rated_critiques_are_kept(metas: list[float | None], k_meta: int, expected: list[int]) -> None:
    assert kept(metas, k_meta) == expected


def test_ties_go_to_the_lower_sample_whatever_the_order_of_the_list() -> None:
    critiques = [make_critique(5, sample=sample, meta=0.5) for sample in (3, 1, 2, 0)]
    assert [critique.kept for critique in keep_best(critiques, 2)] == [False, True, False, True]


def test_ratings_are_attached_in_order() -> None:
    rated = with_ratings([make_critique(5), make_critique(6, sample=1)], [0.25, -3])
    assert [critique.meta for critique in rated] == [0.25, -3]


@pytest.mark.parametrize(
    ("scores", "best", "expected"),
    [
        ((8, 3), (0,), 5),
        ((8, 3), (1,), -5),
        ((7, 7), (0,), 0),
        ((9, 2, 6, 8), (0, 3), 2),
        ((9, 2, 6, 8), (3,), -1),
        ((0.1 + 0.2, 0.3), (0,), 0.1 + 0.2 - 0.3),
    ],
)
def test_the_lead_of_the_best_responses(scores: tuple[float, ...], best: tuple[int, ...], expected: float) -> None:
    assert lead(scores, best) == expected
