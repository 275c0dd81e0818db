"""Coverage against counting, and the power law: recovered from its own points, and refused where there is none."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.best_of.coverage import fit_curve, fit_power_law, pass_at_k, points


def test_the_papers_estimator_and_not_the_plug_in() -> None:
    assert pass_at_k(10, 3, 5) == pytest.approx(0.916667, abs=1e-6)
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_it_is_what_counting_all_draws_gives(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    draws = [any(draw) for draw in combinations(right, k)]
    assert pass_at_k(len(right), sum(right), k) == pytest.approx(sum(draws) / len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_what_cannot_be_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="k must be from 1 to"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(("a", "b"), [(-1.5, 0.4), (-0.2, 1.1), (-6.0, 0.15)])
def test_the_law_is_recovered_from_its_own_points(a: float, b: float) -> None:
    ks = points(10_000)
    law = fit_curve(ks, [math.exp(a * k**-b) for k in ks])
    assert (law.a, law.b) == (pytest.approx(a, abs=1e-6), pytest.approx(b, abs=1e-6))
    assert law.error == pytest.approx(0, abs=1e-9)
    if a == -1.5:
        assert (law.at(1), law.at(100)) == (pytest.approx(0.2231, abs=1e-4), pytest.approx(0.7884, abs=1e-4))


def test_the_fit_is_the_best_on_coverage_itself() -> None:
    ks = points(500)
    bent = [min(0.999, math.exp(-2 * k**-0.5) + 0.03 * math.sin(k)) for k in ks]
    law = fit_curve(ks, bent)
    assert law.a is not None
    assert law.b is not None

    def off(a: float, b: float) -> float:
        return sum((math.exp(a * k**-b) - c) ** 2 for k, c in zip(ks, bent, strict=True))

    least = off(law.a, law.b)
    assert all(off(law.a + da, law.b + db) >= least for da in (-0.01, 0, 0.01) for db in (-0.005, 0, 0.005))


def test_points_are_even_in_the_logarithm_without_repeats() -> None:
    ks = points(10_000)
    assert (ks[0], ks[-1]) == (1, 10_000)
    assert len(ks) == len({*ks}) <= 40
    assert points(3) == [1, 2, 3]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([(100, 100)] * 3, "3 problems have only right samples"),
        ([(100, 0)] * 2, "2 problems have no right samples"),
        ([(100, 0), (100, 100)], "1 problems have only right and 1 problems have no right samples"),
        ([(3, 1)], "too few points"),
    ],
)
def test_no_law_where_there_is_none(counts: list[tuple[int, int]], words: str) -> None:
    law = fit_power_law(counts, counts[0][0])
    assert (law.a, law.b) == (None, None)
    assert words in law.note
    assert math.isnan(law.at(10))


def test_the_fit_says_that_some_problems_are_never_solved() -> None:
    law = fit_power_law([(100, 0), (100, 20), (100, 3)], 100)
    assert law.a is not None
    assert law.a < 0
    assert "1 of 3 problems have no right sample" in law.note
    assert not fit_power_law([(100, 7), (100, 20)], 100).note
