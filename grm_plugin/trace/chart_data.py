"""How the judging went over time: the numbers behind the charts, each series in at most `BUCKETS` steps of groups."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.trace.filters import Filter
from grm_plugin.trace.store_reader import StoreReader

BUCKETS = 60
BIAS_GROUPS = 2_000
"""Newest groups that the position bias is taken over."""


@dataclass(frozen=True, slots=True)
class Step:
    """The mean over consecutive groups `first`..`last` (numbers), `groups` of which a filter shows.

    Rewards in the service's own scale, `spread` in points of 1..10, `lost` (votes) and `fallback` (rewards) as shares;
    None where there is nothing to average.
    """

    first: int
    last: int
    reward: float | None
    reward_low: float | None
    reward_high: float | None
    spread: float | None
    lost: float | None
    fallback: float


@dataclass(frozen=True, slots=True)
class Overview:
    """All series of a filter. `bias[p]` is the mean advantage of position p (see `record.position_bias`).

    `tokens_s` are the tokens generated per second, in steps of equal time from the first group to the last.
    """

    groups: int
    steps: tuple[Step, ...]
    bias: tuple[float, ...]
    tokens_s: tuple[float, ...]
    reward_min: float | None
    reward_max: float | None


_STEPS = """
SELECT (t.id - {first}) * {buckets} / {span} AS bucket, min(t.id), max(t.id),
       count(*), avg(t.reward_mean), avg(t.reward_min), avg(t.reward_max), avg(t.spread),
       sum(t.asked), sum(t.parsed), sum(t.fallbacks), sum(t.responses),
       min(t.reward_min), max(t.reward_max)
FROM traces AS t WHERE {where} GROUP BY bucket ORDER BY bucket
"""


def overview(store: StoreReader, chosen: Filter) -> Overview:
    """The charts' numbers; one pass over the small rows."""
    where, values = chosen.where()
    query = f"SELECT min(t.id), max(t.id), min(t.time), max(t.time) FROM traces AS t WHERE {where}"
    ends = store.select(query, values)[0]
    if ends[0] is None:
        return Overview(0, (), (), (), None, None)
    first, span = int(ends[0]), int(ends[1]) - int(ends[0]) + 1
    rows = store.select(_STEPS.format(where=where, first=first, span=span, buckets=min(BUCKETS, span)), values)
    lows = [row[12] for row in rows if row[12] is not None]
    highs = [row[13] for row in rows if row[13] is not None]
    return Overview(
        groups=sum(row[3] for row in rows),
        steps=tuple(
            Step(
                first=row[1],
                last=row[2],
                reward=row[4],
                reward_low=row[5],
                reward_high=row[6],
                spread=row[7],
                lost=(row[8] - row[9]) / row[8] if row[8] else None,
                fallback=row[10] / row[11] if row[11] else 0.0,
            )
            for row in rows
        ),
        bias=_bias(store, chosen),
        tokens_s=_tokens(store, chosen, ends[2], ends[3]),
        reward_min=min(lows, default=None),
        reward_max=max(highs, default=None),
    )


def _tokens(store: StoreReader, chosen: Filter, start: float, end: float) -> tuple[float, ...]:
    width = (end - start) / BUCKETS
    if width <= 0:
        return ()
    where, values = chosen.where()
    query = (
        f"SELECT min({BUCKETS - 1}, CAST((t.time - {start!r}) / {width!r} AS INTEGER)) AS bucket, sum(t.tokens) "
        f"FROM traces AS t WHERE {where} GROUP BY bucket"
    )
    tokens = {row[0]: row[1] for row in store.select(query, values)}
    return tuple(tokens.get(bucket, 0) / width for bucket in range(BUCKETS))


def _bias(store: StoreReader, chosen: Filter) -> tuple[float, ...]:
    where, values = chosen.where()
    query = f"SELECT t.bias FROM traces AS t WHERE {where} AND t.bias NOT NULL ORDER BY t.id DESC LIMIT {BIAS_GROUPS}"
    groups = [json.loads(row[0]) for row in store.select(query, values)]
    longest = max(map(len, groups), default=0)
    return tuple(fmean(group[place] for group in groups if len(group) > place) for place in range(longest))
