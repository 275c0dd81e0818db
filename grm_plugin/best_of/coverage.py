"""Coverage: the chance that one of k samples is right, by the unbiased estimator, and the power law that it follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POINTS, MOST_SAMPLES = 40, 10_000
"""The law is fitted to so many points, evenly spaced in log k up to so many samples, as in the paper."""

FEWEST_POINTS = 4
"""Two parameters go through two points whatever they are."""

STEPS = 200


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that one of k samples is right, of n of which c are: 1 - C(n - c, k) / C(n, k).

    The stable form of arXiv 2407.21787, which makes no large numbers. `1 - (1 - c / n) ** k` would be too low.

    Raises:
        ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not 0 <= c <= n or not 1 <= k <= n:
        raise ValueError(f"{c} right of {n} samples, k = {k}: k must be from 1 to {n}")
    if n - c < k:
        return 1.0
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """coverage(k) = exp(a * k ** -b), with a < 0 < b (arXiv 2407.21787, section 3).

    Attributes:
        a, b: None where there is no fit.
        error: root mean squared error of the fit, in coverage.
        note: why there is none, or what to mind about it; empty where there is nothing to say.
    """

    a: float | None
    b: float | None
    error: float | None
    note: str = ""

    def at(self, k: float) -> float:
        """The coverage that the law says of k samples; NaN without a fit."""
        if self.a is None or self.b is None:
            return math.nan
        return math.exp(self.a * k**-self.b)


def points(n: int) -> list[int]:
    """The numbers of samples that the law is fitted at, up to n."""
    return sorted({round(k) for k in np.geomspace(1, min(n, MOST_SAMPLES), POINTS)})


def fit_power_law(counts: Sequence[tuple[int, int]], most: int) -> PowerLaw:
    """The law that the coverage of some problems follows.

    Args:
        counts: per problem, the number of samples n and of right ones c.
        most: fit up to so many samples; no problem has fewer.
    """
    always, never = sum(c == n for n, c in counts), sum(c == 0 for _, c in counts)
    if always + never == len(counts):
        found = [
            f"{count} problems have {what}" for count, what in ((always, "only right"), (never, "no right")) if count
        ]
        return PowerLaw(None, None, None, f"no fit: {' and '.join(found)} samples, so more of them change nothing")
    ks = points(most)
    if len(ks) < FEWEST_POINTS:
        return PowerLaw(None, None, None, f"no fit: up to {most} samples are too few points")
    law = fit_curve(ks, [float(np.mean([pass_at_k(n, c, k) for n, c in counts])) for k in ks])
    if never and law.a is not None:
        note = (
            f"{never} of {len(counts)} problems have no right sample, and the law, which goes to 100 %, takes no note"
        )
        return PowerLaw(law.a, law.b, law.error, note)
    return law


def fit_curve(ks: Sequence[int], coverage: Sequence[float]) -> PowerLaw:
    """The law through some points, by least squares on the coverage itself, as the paper fits it.

    Gauss's and Newton's steps with Levenberg's damping, from the line through ln(-ln c) over ln k.
    """
    k, c = np.asarray(ks, dtype=float), np.asarray(coverage, dtype=float)
    inside = (c > 0) & (c < 1)
    if len({*c[inside].tolist()}) < 2:
        return PowerLaw(None, None, None, "no fit: coverage is 0, 1 or the same at every number of samples")
    slope, intercept = np.polyfit(np.log(k[inside]), np.log(-np.log(c[inside])), 1)
    found, damping = np.array([intercept, -slope]), 1e-3  # ln(-a) and b, so that a stays below 0
    off = _law(found, k) - c
    for _ in range(STEPS):
        values = _law(found, k)
        exponent = np.log(values)
        jacobian = np.stack([values * exponent, -values * exponent * np.log(k)], axis=1)
        normal = jacobian.T @ jacobian
        step = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal)), -jacobian.T @ off, rcond=None)[0]
        tried = _law(found + step, k) - c
        if tried @ tried < off @ off:
            found, off, damping = found + step, tried, damping / 10
        else:
            damping *= 10
        if damping > 1e12 or float(np.abs(step).max()) < 1e-12:
            break
    a, b, error = -math.exp(found[0]), float(found[1]), math.sqrt(float(off @ off) / len(c))
    return PowerLaw(a, b, error, "" if b > 0 else "no law: coverage does not grow with the number of samples")


def _law(parameters: Floats, k: Floats) -> Floats:
    values: Floats = np.exp(-np.exp(np.clip(parameters[0], -50, 50)) * k ** -np.clip(parameters[1], -10, 10))
    return np.clip(values, 1e-300, 1 - 1e-15)
