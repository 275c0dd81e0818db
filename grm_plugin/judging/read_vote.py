"""What came of one completion: its vote on every response of a list, or why it has none."""

from __future__ import annotations

from dataclasses import replace

from grm_plugin.config import Config
from grm_plugin.judging.answers import read
from grm_plugin.judging.forcing import Forced
from grm_plugin.judging.read_criteria import read_criteria
from grm_plugin.judging.sampling import Sampled
from grm_plugin.types import Criterion, Critique, Unparsed


def read_vote(
    outcome: Sampled | Forced, order: tuple[int, ...], sample: int, config: Config, criteria: tuple[Criterion, ...] = ()
) -> Critique | Unparsed:
    """One vote, its scores mapped back from the positions shown to the request's order.

    Args:
        outcome: what the engine gave.
        order: in which the GRM was shown the responses.
        sample: the vote's number.
        config: how it is read.
        criteria: what the GRM was asked to score by; none for one overall score.
    """
    if isinstance(outcome, Unparsed):
        return replace(outcome, order=order)
    if isinstance(outcome, Forced):
        begun, completion, line = outcome.begun, outcome.whole, outcome.behind.text
    else:
        begun, completion, line = outcome, outcome, ""
    # Some servers say stop for a cut. An engine that sees the tokens does not, nor one that continued them.
    limit = None if line or begun.token_ids else config.sampling.max_tokens
    if criteria:
        parsed = read_criteria(completion, len(order), criteria, config.judge, limit)
    else:
        parsed = read(completion, len(order), config.judge, limit)
    if isinstance(parsed, Unparsed):
        return replace(parsed, order=order)
    return Critique(
        scores=_as_asked(parsed.values, order),
        text=begun.text,
        principles=parsed.principles,
        analysis=parsed.analysis,
        order=order,
        sample=sample,
        tokens=completion.tokens,
        forced=isinstance(outcome, Forced),
        forced_line=line,
        by_criterion=tuple(None if row is None else _as_asked(row, order) for row in parsed.by_criterion),
    )


def _as_asked(values: tuple[float, ...], order: tuple[int, ...]) -> tuple[float, ...]:
    """Scores in the order of the request, from those in the order shown."""
    by_response = dict(zip(order, values, strict=True))
    return tuple(by_response[index] for index in range(len(order)))
