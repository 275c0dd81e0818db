"""Spearman's correlation: by hand, with strata, with clusters."""

from __future__ import annotations

import numpy as np
import pytest

from grm_plugin.batch.statistics.rank_correlation import rank_correlation


def names(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_by_hand() -> None:
    """Ranks 1..5 and 2, 1, 4, 3, 5: 1 - 6 * 4 / (5 * 24) = 0.8; any growing function has the same ranks."""
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([20.0, 10, 400, 30, 5000])
    found = rank_correlation(x, y, names(5))
    assert found is not None
    assert found.value == pytest.approx(0.8)
    assert found.ci95[0] < 0 < found.ci95[1]


def test_equal_values_share_their_rank() -> None:
    """Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4: Pearson's correlation of the ranks is 4.5 / sqrt(4.5 * 5)."""
    found = rank_correlation(np.array([1.0, 1, 2, 3]), np.array([1.0, 2, 3, 4]), names(4))
    assert found is not None
    assert found.value == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_what_separates_strata_adds_nothing() -> None:
    x, y = np.array([1.0, 2, 11, 12] * 5), np.array([2.0, 1, 12, 11] * 5)
    plain, apart = rank_correlation(x, y, names(20)), rank_correlation(x, y, names(20), np.array([0.0, 0, 1, 1] * 5))
    assert plain is not None
    assert apart is not None
    assert plain.value > 0.5
    assert apart.value == pytest.approx(-1.0)


def test_copies_widen_no_knowledge() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(40), rng.random(40)
    once = rank_correlation(x, y, names(40))
    copies = rank_correlation(np.tile(x, 9), np.tile(y, 9), names(40) * 9)
    assert once is not None
    assert copies is not None
    assert copies.value == pytest.approx(once.value)
    widths = [found.ci95[1] - found.ci95[0] for found in (once, copies)]
    assert widths[1] == pytest.approx(widths[0], rel=0.2)


@pytest.mark.parametrize("values", [[1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
def test_too_little_to_correlate(values: list[float]) -> None:
    assert rank_correlation(np.arange(len(values), dtype=float), np.array(values), names(len(values))) is None
