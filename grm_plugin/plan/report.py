"""A plan in words and in JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from grm_plugin.config import Config
from grm_plugin.plan.planning import Plan
from grm_plugin.serving.capacity import MOST_VOTES, TIED


def lines(plan: Plan, config: Config) -> Iterator[str]:
    """The plan for a reader, line by line."""
    step, tokens, known = plan.step, plan.step.tokens, plan.known
    yield f"a step of {step.prompts:,} prompts x {step.n} responses"
    yield f"  lists            {step.lists:>12,}  {_lists(plan, config)}"
    yield f"  prompts to read  {step.requests:>12,}  one per order; {tokens.prompt:,.0f} tokens each"
    yield f"  critiques        {step.critiques:>12,}  k = {config.sampling.k} per list{_once(plan)}"
    if step.tiebreaks:
        tied = known.seen.tied if known.seen else None
        share = f"{TIED} (--traces tell yours)" if tied is None else f"{tied:.0%} of them by the traces"
        yield f"   of tie-breaks   {step.tiebreak_critiques:>12,}  if all neighbours are tied; expected: {share}"
    yield f"  tokens to write  {step.generated:>12,.0f}  {tokens.critique:,.0f} per critique ({known.tokens_from})"
    cache = "not known" if plan.cache is None else f"{plan.cache:,.0f} tokens per replica"
    yield f"  KV cache         {step.cache_per_critique:>12,.0f}  tokens per critique; {cache} ({plan.cache_from})"
    if known.seen is not None:
        seen = known.seen
        yield (
            f"  seen             {seen.in_flight:>12,.1f}  groups under way; {seen.groups_per_s:,.2f} per s x "
            f"{seen.latency_s:,.1f} s each = {seen.groups_per_s * seen.latency_s:,.1f} (Little's law)"
        )
    if plan.speed is None:
        yield f"speed: {known.speed_from}. Give --traces, --probe, --tokens-per-s or --published"
        yield (
            f"the deadline of {plan.deadline_s:,.0f} s (failure.deadline_s) holds for a step that comes all at once if "
            f"each of {plan.now} replica(s) writes {plan.needed_tokens_per_s:,.0f} tokens/s"
        )
        return
    speed = plan.speed
    yield (
        f"a replica writes {speed.at_once:,} critiques at once, {speed.tokens_per_s(speed.at_once):,.0f} tokens/s "
        f"({known.speed_from})"
    )
    yield from _table(plan)
    yield from _advice(plan)


def _lists(plan: Plan, config: Config) -> str:
    if config.judge.mode == "pairwise":
        return f"pairs (judge.mode pairwise, judge.comparisons {config.judge.comparisons})"
    of_size = f"of at most {config.judge.list_size} (judge.list_size)"
    return (
        f"{of_size}; {plan.step.tiebreaks:,} are pairs of neighbours that may tie" if plan.step.tiebreaks else of_size
    )


def _once(plan: Plan) -> str:
    written = plan.step.written
    return "" if written == plan.step.critiques else f"; {written:,} are written (temperature 0: one per order)"


def _table(plan: Plan) -> Iterator[str]:
    yield f"{'replicas':>8}  {'burst':>9}   in time  {'waited':>9}  {'half':>8} {'95 %':>8} {'all':>8}   busy"
    for row in plan.rows:
        seen, holds = row.simulated, "holds" if row.in_time else "MISSED"
        yield (
            f"{row.replicas:>8,}  {row.burst_s:>7,.1f} s  {holds:>8}  {seen.waited_s:>7,.1f} s  {seen.half_s:>8,.1f} "
            f"{seen.most_s:>8,.1f} {seen.last_s:>8,.1f}  {seen.busy:>5.0%}"
        ) + ("  <- configured" if row.replicas == plan.now else "")
    comes = f"within {plan.rollout_s:,.0f} s" if plan.rollout_s else "at once"
    yield (
        "burst: seconds for a step that comes all at once, by arithmetic, and whether failure.deadline_s holds for it. "
        f"The others are simulated, with lists that come {comes}: when half, 95 % and all of the groups have their "
        "rewards, what the trainer waits after its rollout, and how much of the replicas' places is taken."
    )


def _advice(plan: Plan) -> Iterator[str]:
    deadline = f"the deadline of {plan.deadline_s:,.0f} s (failure.deadline_s)"
    if plan.within_deadline is None:
        yield (
            f"no number of replicas meets {deadline}: one critique takes longer. Raise it, or lower sampling.max_tokens"
        )
    else:
        more = " and more" if plan.most_votes == MOST_VOTES else ""
        votes = f"sampling.k up to {plan.most_votes:,}{more}" if plan.most_votes else "not even sampling.k = 1"
        yield (
            f"{deadline} needs {plan.within_deadline:,} replica(s) for a burst; with the {plan.now:,} configured it "
            f"allows {votes}"
        )
    if plan.rollout_s:
        yield (
            f"{plan.beside_rollout:,} replica(s) keep up with a rollout of {plan.rollout_s:,.0f} s: then only the last "
            "lists are waited for"
        )


def as_json(plan: Plan) -> str:
    """All numbers of the plan."""
    return json.dumps(asdict(plan), indent=2)
