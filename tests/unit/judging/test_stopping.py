import pytest

from grm_plugin.judging.stopping import RankingSettled
from grm_plugin.judging.voting import vote_of
from grm_plugin.types import Vote

FAR = [vote_of([9, 8, 9, 8]), vote_of([2, 3, 2, 3])]
NEAR = [vote_of([5, 7, 4, 8]), vote_of([6, 5, 7, 4])]


@pytest.mark.parametrize(
    ("votes", "settled"),
    [
        (FAR, True),
        (NEAR, False),
        ([*FAR, vote_of([5, 6, 5, 6])], True),
        ([*FAR, vote_of([3, 2, 3, 3])], False),
        ([vote_of([9, 9]), vote_of([1, 1])], True),
        ([vote_of([5, 5]), vote_of([5, 5])], False),
        ([vote_of([9]), vote_of([1])], False),
        ([*FAR, None], False),
        ([None, None], False),
        ([FAR[0]], False),
        ([], False),
    ],
    ids=["far", "near", "three", "a tied pair", "no spread", "tie", "one vote", "a lost one", "all lost", "n=1", "n=0"],
)
def test_when_the_ranking_is_settled(votes: list[Vote | None], settled: bool) -> None:
    assert RankingSettled(z=2.0).settled(votes) is settled
    assert RankingSettled(z=2.0).settled(votes[::-1]) is settled, "the order of the responses does not matter"


def test_the_bound_is_z_standard_errors_of_the_difference() -> None:
    # Population variance 0.8 over 5 votes: the squared error of a mean is 0.8 / 4, of the difference of two twice that.
    low, high = vote_of([4, 4, 5, 6, 6]), vote_of([6, 6, 7, 8, 8])
    assert high.spread**2 == pytest.approx(0.8)
    error = (2 * 0.8 / 4) ** 0.5
    assert RankingSettled(z=2 / error * 0.999).settled([low, high])
    assert not RankingSettled(z=2 / error * 1.001).settled([low, high])
