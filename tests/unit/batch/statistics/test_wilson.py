"""Wilson's interval against published values, and its edges."""

from __future__ import annotations

import pytest

from grm_plugin.batch.statistics.wilson import wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_published_values(successes: float, n: float, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_without_an_observation_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 2)])
def test_more_hits_than_observations_are_refused(successes: float, n: float) -> None:
    with pytest.raises(ValueError, match="no more hits than observations"):
        wilson(successes, n)
