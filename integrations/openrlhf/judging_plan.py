"""What a training step asks of the GRM, and whether the deadline of its rewards holds: said before a model loads."""

from __future__ import annotations

from pathlib import Path

from grm_plugin.config import Config, replicas_of
from grm_plugin.errors import StoreError
from grm_plugin.serving.capacity import (
    TIED,
    Step,
    Tokens,
    described,
    held_at_once,
    seconds,
    step_of,
    tokens_per_s_within,
)
from grm_plugin.serving.observed import Observed, observed, speed_of
from grm_plugin.trace.store_reader import opened
from grm_plugin.wire.ready import OPENRLHF_DEADLINE_S


def judging_plan(config: Config, prompts: int, hook: str) -> str:
    """For the user: critiques and tokens of a step, and its seconds where earlier traces of this GRM tell its speed.

    Args:
        config: of the service; `group.n` are the responses of a prompt.
        prompts: of a step.
        hook: how OpenRLHF asks; its HTTP call waits for no longer than three minutes.
    """
    n, limit = config.group.n, config.sampling.max_tokens
    seen = _seen(config)
    step = step_of(config, prompts, n, seen.tokens if seen else Tokens(limit, limit))
    asks = f"a step asks the GRM for {step.critiques:,} critiques ({described(config, step)}{_tied(step, seen)}); "
    deadline_s = min(config.failure.deadline_s, OPENRLHF_DEADLINE_S) if hook == "http" else config.failure.deadline_s
    return asks + (_by_traces(config, step, seen, deadline_s) if seen else _at_most(config, step, deadline_s))


def _tied(step: Step, seen: Observed | None) -> str:
    """How many of the tie-breaks are to be expected."""
    if not step.tiebreaks:
        return ""
    if seen is None or seen.tied is None:
        return f"; expect {TIED}"
    return f", of which {seen.tied:.0%} were there: some {seen.tied * step.tiebreak_critiques:,.0f}"


def _seen(config: Config) -> Observed | None:
    """What the traces of earlier jobs tell, if there are any of this GRM."""
    if config.trace.path is None:
        return None
    try:
        with opened(Path(config.trace.path)) as store:
            return observed(store, config) if store else None
    except StoreError:  # they tell nothing; a store that cannot be used ends the start of the service
        return None


def _by_traces(config: Config, step: Step, seen: Observed, deadline_s: float) -> str:
    replicas = max(1, replicas_of(config.engine))
    speed = speed_of(seen, replicas, held_at_once(config, step, None, None))
    takes_s = seconds(step, speed, replicas)
    holds = "holds" if takes_s <= deadline_s else "is MISSED if they come at once"
    return (
        f"{step.generated:,.0f} tokens at {step.tokens.critique:,.0f} per critique, as in {config.trace.path}. "
        f"At the speed seen there {replicas} replica(s) take {takes_s:,.0f} s, and the deadline of {deadline_s:,.0f} s "
        f"{holds} (grm-plugin plan says more)"
    )


def _at_most(config: Config, step: Step, deadline_s: float) -> str:
    replicas = max(1, replicas_of(config.engine))
    return (
        f"{step.generated:,.0f} tokens if each has sampling.max_tokens ({config.sampling.max_tokens:,}). The deadline "
        f"of {deadline_s:,.0f} s holds for a step that comes at once if each of {replicas} replica(s) writes "
        f"{tokens_per_s_within(step, replicas, deadline_s):,.0f} tokens/s (grm-plugin plan measures it)"
    )
