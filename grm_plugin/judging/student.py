"""Quantiles of Student's t distribution, by closed forms and a series: the judge needs no statistics package."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist


@lru_cache(1024)
def student_quantile(p: float, degrees: int) -> float:
    """The value that a t variable of so many degrees of freedom (>= 1) stays below with probability `p` in (0, 1).

    Exact for one and two degrees; from three on the expansion in 1 / degrees (Abramowitz and Stegun, 26.7.5), whose
    error is below 0.005 where p is 0.9 to 0.99.
    """
    if degrees == 1:
        return math.tan(math.pi * (p - 0.5))
    if degrees == 2:
        return (2 * p - 1) / math.sqrt(2 * p * (1 - p))
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return math.fsum([z, *(term / float(degrees) ** power for power, term in enumerate(terms, 1))])
