"""Wilson's interval of a share: believable for few observations too, and where none or all of them are hits."""

from __future__ import annotations

import math
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)
"""Half-width of a 95 % interval, in standard errors."""


def wilson(successes: float, n: float, z: float = Z) -> tuple[float, float]:
    """The score interval of Wilson (1927) for a share.

    Args:
        successes: number of hits, in 0..n.
        n: number of independent observations. Neither needs to be whole: observations that hang together count as
            fewer.
        z: half-width in standard errors; that of a 95 % interval, if nothing else is given.

    Returns:
        The two ends, in [0, 1]; (0, 1) without an observation.

    Raises:
        ValueError: `successes` is not in 0..n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} hits of {n} observations: there can be no more hits than observations")
    if n == 0:
        return 0.0, 1.0
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    # Rounding must not keep the ends from 0 and 1, where the formula has them exactly.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high
