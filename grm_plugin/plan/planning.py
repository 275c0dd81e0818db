"""The plan of a training step: how long its judging takes with so many replicas, and what fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from grm_plugin.config import Config, replicas_of
from grm_plugin.plan.known import Known
from grm_plugin.plan.simulation import Simulated, simulate
from grm_plugin.serving.capacity import (
    Measured,
    Speed,
    Step,
    fit_speed,
    held_at_once,
    largest_k,
    replicas_beside,
    replicas_within,
    seconds,
    step_of,
    tokens_per_s_within,
)

MOST_ROWS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A number of replicas, and what it does to a step.

    Attributes:
        replicas: how many.
        burst_s: seconds for a step that comes all at once, by arithmetic.
        simulated: the same step, coming within the rollout, in the simulation.
        in_time: whether a burst is through within the deadline.
    """

    replicas: int
    burst_s: float
    simulated: Simulated
    in_time: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step asks for and what it takes.

    Attributes:
        step: what it asks of the GRM.
        known: what that rests on.
        deadline_s: within which every reward must be there (`failure.deadline_s`).
        rollout_s: seconds of the rollout; 0 where it is not known.
        now: replicas of the configuration.
        cache: tokens of a replica's KV cache; None where that is not known.
        cache_from: by what, or why not.
        speed: of a replica, with the critiques that it writes at the same time; None where nothing tells it.
        needed_tokens_per_s: that each replica must write for the deadline, with the replicas of the configuration.
        rows: with more and more replicas; empty without a speed.
        within_deadline: fewest replicas that meet the deadline in a burst; None where no number does, or without speed.
        beside_rollout: fewest replicas for which the trainer waits for the last list only; None also without rollout.
        most_votes: the largest k that meets the deadline with the replicas of the configuration; None without a speed.
    """

    step: Step
    known: Known
    deadline_s: float
    rollout_s: float
    now: int
    cache: float | None
    cache_from: str
    speed: Speed | None
    needed_tokens_per_s: float
    rows: tuple[Row, ...] = ()
    within_deadline: int | None = None
    beside_rollout: int | None = None
    most_votes: int | None = None


def make_plan(
    config: Config,
    known: Known,
    prompts: int,
    n: int,
    rollout_s: float,
    cache: tuple[float | None, str],
    sequences: int,
) -> Plan:
    """Plan a step of so many prompts with n responses each.

    Args:
        config: of the service.
        known: lengths and speed.
        prompts: of the step.
        n: responses of each.
        rollout_s: seconds in which the responses come; 0: all at once.
        cache: see `known.cache_tokens`.
        sequences: most critiques that a replica writes at the same time, whatever its cache holds.
    """
    step = step_of(config, prompts, n, known.tokens)
    now, deadline_s = max(1, replicas_of(config.engine)), config.failure.deadline_s
    common = (step, known, deadline_s, rollout_s, now, *cache)
    needed = tokens_per_s_within(step, now, deadline_s)
    if known.speed is not None:
        at_once = held_at_once(config, step, min(sequences, known.speed.at_once), cache[0])
        speed = replace(known.speed, at_once=at_once)
    elif known.rate is not None:
        at_once = held_at_once(config, step, sequences, cache[0])
        speed = fit_speed([Measured(at_once, known.rate)], at_once)
    else:
        return Plan(*common, speed=None, needed_tokens_per_s=needed)
    within = replicas_within(step, speed, deadline_s)
    beside = replicas_beside(step, speed, rollout_s) if rollout_s else None
    counts = {now, *(count for count in (within, beside) if count)}
    return Plan(
        *common,
        speed=speed,
        needed_tokens_per_s=needed,
        rows=tuple(_row(step, speed, count, rollout_s, deadline_s) for count in _some(counts)),
        within_deadline=within,
        beside_rollout=beside,
        most_votes=largest_k(config, step, speed, now, deadline_s),
    )


def _row(step: Step, speed: Speed, replicas: int, rollout_s: float, deadline_s: float) -> Row:
    burst = seconds(step, speed, replicas)
    return Row(
        replicas,
        burst,
        simulate(step, speed, replicas, rollout_s),
        burst <= deadline_s,
    )


def _some(counts: set[int]) -> list[int]:
    """These numbers, and doublings between and after them."""
    doubled, count = set(counts), 1
    while len(doubled) < MOST_ROWS and count <= 4 * max(counts):
        doubled.add(count)
        count *= 2
    return sorted(doubled)
