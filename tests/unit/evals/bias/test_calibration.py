"""Agreement of votes against being right."""

from __future__ import annotations

import math
import random

import pytest

from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.bias.calibration import calibration
from support.vote_factories import make_record, vote


def simulated(items: int, k: int, seed: int = 0, sure: float = 1.0) -> list[ItemVotes]:
    """The first response is right with a chance that is drawn per item, and gets a vote with the same chance.

    `sure` above 1 moves the chance of a vote away from one half: a judge that is too sure.
    """
    rng = random.Random(seed)
    records = []
    for number in range(items):
        chance = rng.random()
        odds = (chance / (1 - chance)) ** sure
        votes = [vote(*((9, 1) if rng.random() < odds / (1 + odds) else (1, 9))) for _ in range(k)]
        records.append(make_record(votes, name=f"item {number}", best=0 if rng.random() < chance else 1))
    return records


def test_by_hand() -> None:
    """Confidence 3/4 and right; 3/4 and wrong; a tie among the votes, which is right in half."""
    votes = [vote(9, 1), vote(8, 1), vote(7, 1), vote(1, 9)]
    split = [vote(9, 1), vote(1, 9), vote(5, 5), vote()]
    records = [make_record(votes, name="a"), make_record(votes, name="b", best=1), make_record(split, name="c")]
    found = calibration(records, scalar=False)
    assert found is not None
    assert [(each.predicted, each.right.value, each.right.n) for each in found.bins] == [(0.5, 0.5, 1), (0.75, 0.5, 2)]
    assert found.expected_error == pytest.approx((0 + 2 * 0.25) / 3)
    assert found.brier == pytest.approx((0.25**2 + 0.75**2 + 0) / 3)
    assert found.excess is not None
    assert found.excess.value == pytest.approx((2 - 1.5) / 3)


def test_a_tied_vote_counts_for_each_of_the_leading_responses() -> None:
    found = calibration([make_record([vote(9, 9, 1), vote(9, 1, 1)])], scalar=False)
    assert found is not None
    assert found.bins[0].predicted == 0.75


def test_a_scalar_models_confidence_is_the_probability_of_its_logits() -> None:
    found = calibration([make_record([vote(1.0, -1.0)])], scalar=True)
    assert found is not None
    assert (found.of, found.bins[0].predicted) == ("logits", pytest.approx(1 / (1 + math.exp(-2.0)), abs=1e-8))


def test_a_calibrated_judge_is_found_calibrated() -> None:
    found = calibration(simulated(3000, 64), scalar=False)
    assert found is not None
    assert found.expected_error is not None
    assert found.excess is not None
    assert found.expected_error < 0.03
    assert abs(found.excess.value) < 0.02
    assert found.brier == pytest.approx(1 / 6, abs=0.01)  # the mean of p (1 - p) over p in 0..1


def test_a_judge_that_is_too_sure_is_found_so() -> None:
    found = calibration(simulated(3000, 64, sure=3.0), scalar=False)
    assert found is not None
    assert found.expected_error is not None
    assert found.excess is not None
    assert found.expected_error > 0.08
    assert found.excess.sign == 1


def test_single_responses_are_binned_by_mean_score() -> None:
    """Two votes each; twelve items at 2.5, of which three are right, and twelve at 8.5, of which nine are."""
    records = [
        make_record([vote(low), vote(low + 1)], name=f"{low} {number}", label=int(number < right))
        for low, right in ((2, 3), (8, 9))
        for number in range(12)
    ]
    found = calibration(records, scalar=False)
    assert found is not None
    assert [(each.predicted, each.right.value) for each in found.bins] == [(2.5, 0.25), (8.5, 0.75)]
    assert (found.expected_error, found.brier, found.excess) == (None, None, None)


def test_without_a_vote_there_is_no_calibration() -> None:
    assert calibration([make_record([vote(), vote()])], scalar=False) is None
