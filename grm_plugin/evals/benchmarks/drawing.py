"""Chooses some of a benchmark's items at random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from grm_plugin.batch.items import Item
from grm_plugin.errors import ConfigError


def draw(items: Sequence[Item], limit: int, seed: int) -> list[Item]:
    """At most `limit` items, drawn at random; all, in their order, where there are no more.

    Items that name the same cluster come together, since a benchmark's figure needs all of them. A larger limit adds
    items to those of a smaller one.

    Raises:
        ConfigError: the first cluster drawn holds more items than `limit`.
    """
    if limit >= len(items):
        return list(items)
    together: dict[object, list[Item]] = {}
    for number, item in enumerate(items):
        together.setdefault(item.cluster or number, []).append(item)
    clusters = list(together.values())
    drawn: list[Item] = []
    for cluster in random.Random(seed).sample(clusters, len(clusters)):
        if len(drawn) + len(cluster) > limit:
            break
        drawn += cluster
    if not drawn:
        largest = max(map(len, clusters))
        raise ConfigError(
            f"--limit {limit} is too small: up to {largest} items of this data are counted together; give at least "
            f"{largest}"
        )
    return drawn
