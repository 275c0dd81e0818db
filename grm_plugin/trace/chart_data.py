"""The numbers behind the charts of the page: how judging went over time, in at most `STEPS` steps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.trace.filters import Filter
from grm_plugin.trace.store_reader import StoreReader

STEPS = 60
"""Longest series of a chart."""

BIAS_GROUPS = 2_000
"""So many of the newest groups give the position bias."""


@dataclass(frozen=True, slots=True)
class Step:
    """Means over the groups of a step, whose numbers are `first`..`last`; None where there is nothing to average.

    Attributes:
        first, last: numbers of the first and the last group.
        reward, reward_low, reward_high: the mean of the groups' mean, lowest and highest reward.
        spread: of the votes on a response, in points of the 1..10 scale.
        lost: share of the critiques asked for that gave no vote.
        fallback: share of the rewards that are missing, so that the failure policy decided.
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
class ChartData:
    """The series over all groups that match a filter.

    Attributes:
        groups: how many match.
        steps: the groups in order, cut into steps of equally many group numbers.
        bias: by position in the list that the GRM reads, the mean of `stored_trace.position_bias`.
        tokens_s: tokens that the GRM generated per second, in steps of equal time from the first group to the last.
        reward_min, reward_max: lowest and highest reward of all.
    """

    groups: int
    steps: tuple[Step, ...]
    bias: tuple[float, ...]
    tokens_s: tuple[float, ...]
    reward_min: float | None
    reward_max: float | None


_STEPS_QUERY = """
SELECT (t.id - {first_id}) * {steps} / {ids} AS step, min(t.id) AS first, max(t.id) AS last,
       count(*) AS groups, avg(t.reward_mean) AS reward, avg(t.reward_min) AS reward_low,
       avg(t.reward_max) AS reward_high, avg(t.spread) AS spread, sum(t.asked) AS asked, sum(t.parsed) AS parsed,
       sum(t.fallbacks) AS fallbacks, sum(t.responses) AS responses,
       min(t.reward_min) AS reward_min, max(t.reward_max) AS reward_max
FROM traces AS t WHERE {where} GROUP BY step ORDER BY step
"""


def chart_data(store: StoreReader, chosen: Filter) -> ChartData:
    """The series over all groups that match a filter."""
    where, values = chosen.where()
    query = f"SELECT min(t.id), max(t.id), min(t.time), max(t.time) FROM traces AS t WHERE {where}"
    first_id, last_id, start, end = store.select(query, values)[0]
    if first_id is None:
        return ChartData(0, (), (), (), None, None)
    ids = last_id - first_id + 1
    rows = store.select(_STEPS_QUERY.format(where=where, first_id=first_id, ids=ids, steps=min(STEPS, ids)), values)
    lows = [row["reward_min"] for row in rows if row["reward_min"] is not None]
    highs = [row["reward_max"] for row in rows if row["reward_max"] is not None]
    return ChartData(
        groups=sum(row["groups"] for row in rows),
        steps=tuple(
            Step(
                first=row["first"],
                last=row["last"],
                reward=row["reward"],
                reward_low=row["reward_low"],
                reward_high=row["reward_high"],
                spread=row["spread"],
                lost=(row["asked"] - row["parsed"]) / row["asked"] if row["asked"] else None,
                fallback=row["fallbacks"] / row["responses"] if row["responses"] else 0.0,
            )
            for row in rows
        ),
        bias=_bias(store, chosen),
        tokens_s=_tokens_per_second(store, chosen, start, end),
        reward_min=min(lows, default=None),
        reward_max=max(highs, default=None),
    )


def _tokens_per_second(store: StoreReader, chosen: Filter, start: float, end: float) -> tuple[float, ...]:
    width = (end - start) / STEPS
    if width <= 0:
        return ()
    where, values = chosen.where()
    query = (
        f"SELECT min({STEPS - 1}, CAST((t.time - {start!r}) / {width!r} AS INTEGER)) AS step, sum(t.tokens) "
        f"FROM traces AS t WHERE {where} GROUP BY step"
    )
    tokens = {row[0]: row[1] for row in store.select(query, values)}
    return tuple(tokens.get(step, 0) / width for step in range(STEPS))


def _bias(store: StoreReader, chosen: Filter) -> tuple[float, ...]:
    where, values = chosen.where()
    query = f"SELECT t.bias FROM traces AS t WHERE {where} AND t.bias NOT NULL ORDER BY t.id DESC LIMIT {BIAS_GROUPS}"
    groups = [json.loads(row[0]) for row in store.select(query, values)]
    longest = max(map(len, groups), default=0)
    return tuple(fmean(group[place] for group in groups if len(group) > place) for place in range(longest))
