"""Quantiles of Student's t distribution: the judge needs no statistics package."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

EXACT = 30
"""Degrees of freedom up to which the distribution is inverted; above, the expansion is as good."""

HALVINGS = 60
"""Of the angle that is searched for: more than a float can tell."""


@lru_cache(1024)
def student_quantile(p: float, degrees: int) -> float:
    """The value that a t variable of so many degrees of freedom (>= 1) stays below with probability `p` in (0, 1).

    Up to `EXACT` degrees by halving, above by the expansion in 1 / degrees (Abramowitz and Stegun, 26.7.5). The error
    is below 0.0005 where p is 0.001 to 0.999.
    """
    if degrees > EXACT:
        return _expanded(NormalDist().inv_cdf(p), degrees)
    low, high = -math.pi / 2, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, degrees) < p else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _below(angle: float, degrees: int) -> float:
    """The probability that t / sqrt(degrees) is below the tangent of an angle (Abramowitz and Stegun, 26.7.3 and 4)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    even = degrees % 2 == 0
    term, total = (1.0, 1.0) if even else (cosine, cosine if degrees > 1 else 0.0)
    for step in range(2 if even else 3, degrees - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 0.5 + sine * total / 2 if even else 0.5 + (angle + sine * total) / math.pi


def _expanded(z: float, degrees: int) -> float:
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return math.fsum([z, *(term / float(degrees) ** power for power, term in enumerate(terms, 1))])
