"""What came of one completion: its vote on every response of a list, or why it has none."""

from __future__ import annotations

from dataclasses import replace

from grm_plugin.config import Config
from grm_plugin.judging.answers import read
from grm_plugin.judging.forcing import Forced
from grm_plugin.judging.sampling import Sampled
from grm_plugin.types import Critique, Unparsed


def read_vote(outcome: Sampled | Forced, order: tuple[int, ...], sample: int, config: Config) -> Critique | Unparsed:
    """One vote, its scores mapped back from the positions shown to the request's order.

    Args:
        outcome: what the engine gave.
        order: in which the GRM was shown the responses.
        sample: the vote's number.
        config: how it is read.
    """
    if isinstance(outcome, Unparsed):
        return replace(outcome, order=order)
    if isinstance(outcome, Forced):
        begun, completion, line = outcome.begun, outcome.whole, outcome.behind.text
    else:
        begun, completion, line = outcome, outcome, ""
    # Some servers say stop for a cut. An engine that sees the tokens does not, nor one that continued them.
    limit = None if line or begun.token_ids else config.sampling.max_tokens
    parsed = read(completion, len(order), config.judge, limit)
    if isinstance(parsed, Unparsed):
        return replace(parsed, order=order)
    by_response = dict(zip(order, parsed.values, strict=True))
    return Critique(
        scores=tuple(by_response[index] for index in range(len(order))),
        text=begun.text,
        principles=parsed.principles,
        analysis=parsed.analysis,
        order=order,
        sample=sample,
        tokens=completion.tokens,
        forced=isinstance(outcome, Forced),
        forced_line=line,
    )
