"""What traces tell of a GRM's speed: how long its critiques are, and how many tokens it wrote at which load."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.config import Config, name_of
from grm_plugin.errors import StoreError
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.serving.capacity import Measured, Speed, Tokens, fit_speed, tokens_of
from grm_plugin.trace.store_reader import ModelSpan, StoreReader
from grm_plugin.trace.stored_trace import Trace
from grm_plugin.types import Critique, Group, Unparsed

MOST_GROUPS = 50_000
"""The newest ones are read."""

READ_WHOLE = 200
"""Of which so many with their texts, spread over all."""

LOADS = 8
"""Points at which the speed is told, from the lowest load to the highest."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the newest groups of one model tell.

    Attributes:
        groups: how many were read.
        tokens: how long critiques and prompts were.
        pool: tokens per second of all replicas together, by the critiques that were under way.
        groups_per_s: rate while any group was under way.
        latency_s: mean time from a group's judging to its rewards.
        in_flight: groups under way, averaged over the time in which there were any. By Little's law it is the product
            of the two before, unless the store has lost groups or clocks have jumped.
        named: whether the store says which model its groups are of; else nothing tells that it is this one.
        tied: of neighbours in the ranking of a list, the share that mode tiebreak had compared; None where it had none.
    """

    groups: int
    tokens: Tokens
    pool: tuple[Measured, ...]
    groups_per_s: float
    latency_s: float
    in_flight: float
    named: bool = True
    tied: float | None = None


def observed(store: StoreReader, config: Config) -> Observed:
    """What a store tells of the GRM of this configuration.

    Raises:
        StoreError: it has no groups of that model, or they have no token counts.
    """
    noted = store.models()
    rows = _rows(store, name_of(config.engine), noted)
    spans = [(time - latency, time, asked, tokens) for _, time, latency, asked, tokens in rows if latency > 0]
    if not any(tokens for *_, tokens in spans):
        raise StoreError(
            f"{store.path} tells no speed: none of its groups took any time, or the GRM's server has not said how many "
            "tokens its critiques have. Leave it out, and give --critique-tokens and --tokens-per-s"
        )
    slices = [*_slices(spans)]
    busy_s = sum(length for length, *_ in slices)
    traces = _traces(store, [row[0] for row in rows])
    return Observed(
        groups=len(rows),
        tokens=_tokens(config, traces),
        pool=tuple(_points(slices)),
        groups_per_s=len(spans) / busy_s,
        latency_s=fmean(end - start for start, end, _, _ in spans),
        in_flight=sum(length * groups for length, groups, _, _ in slices) / busy_s,
        named=bool(noted),
        tied=_tied(traces),
    )


def speed_of(seen: Observed, replicas: int, at_once: int) -> Speed:
    """The speed of one of the replicas whose traces were seen, which writes at most so many critiques at once."""
    points = [Measured(point.running / replicas, point.tokens_per_s / replicas) for point in seen.pool]
    return fit_speed(points, at_once)


def _rows(store: StoreReader, model: str, noted: Sequence[ModelSpan]) -> list[tuple[int, float, float, int, int]]:
    """Number, time, latency, votes asked and tokens of the newest groups of a model."""
    if noted and model not in {span.model for span in noted}:
        others = ", ".join(dict.fromkeys(span.model for span in noted))
        raise StoreError(
            f"{store.path} has the traces of {others}, and engine.model is {model}: another model has another speed. "
            "Give the traces of this one, or none"
        )
    found, services = [], {span.service for span in noted}
    query = "SELECT id, time, latency_s, asked, tokens, service FROM traces AS t ORDER BY id DESC LIMIT ?"
    for number, time, latency, asked, tokens, service in store.select(query, [MOST_GROUPS]):
        last = next((span for span in reversed(noted) if span.service == service and span.first <= number), None)
        if (last.model == model) if last else service not in services:
            found.append((number, time, latency, asked, tokens))
    if not found:
        raise StoreError(f"{store.path} has no groups that {model} has judged yet")
    return found[::-1]


def _slices(spans: Sequence[tuple[float, float, int, int]]) -> Iterator[tuple[float, int, float, float]]:
    """The time cut where groups begin and end: the length of each piece in which any is under way, how many groups
    and votes are, and tokens per second; the tokens of a group are spread evenly over its time."""
    edges = sorted(
        edge
        for start, end, asked, tokens in spans
        for edge in ((start, 1, asked, tokens / (end - start)), (end, -1, -asked, -tokens / (end - start)))
    )
    groups, votes, rate, before = 0, 0, 0.0, edges[0][0]
    for time, group, asked, tokens in edges:
        if groups and time > before:
            yield time - before, groups, votes, rate
        groups, votes, rate, before = groups + group, votes + asked, rate + tokens, time


def _points(slices: Sequence[tuple[float, int, float, float]]) -> Iterator[Measured]:
    """The mean load and speed of equal shares of the time, from the least loaded to the most."""
    ordered = sorted(slices, key=lambda piece: piece[2])
    share = sum(length for length, *_ in ordered) / LOADS
    taken, votes, tokens = 0.0, 0.0, 0.0
    for length, _, running, rate in ordered:
        taken, votes, tokens = taken + length, votes + length * running, tokens + length * rate
        if taken >= share * 0.999:
            yield Measured(votes / taken, tokens / taken)
            taken = votes = tokens = 0.0


def _traces(store: StoreReader, numbers: Sequence[int]) -> list[Trace]:
    chosen = numbers[:: max(1, len(numbers) // READ_WHOLE)]
    return [trace for number in chosen if (trace := store.trace(number)) is not None]


def _tied(traces: Sequence[Trace]) -> float | None:
    lists = [judged for trace in traces for judged in trace.judgement.lists]
    compared = sum(judged.purpose == "tiebreak" for judged in lists)
    neighbours = sum(len(judged.members) - 1 for judged in lists if judged.purpose == "votes")
    return compared / neighbours if compared and neighbours else None


def _tokens(config: Config, traces: Sequence[Trace]) -> Tokens:
    votes: list[Critique | Unparsed] = []
    for trace in traces:
        for judged in trace.judgement.lists:
            votes += [*judged.critiques, *judged.unparsed]
    counted = [vote for vote in votes if vote.tokens]
    lengths = [vote.tokens for vote in counted] or [1]
    chars = sum(len(vote.text) for vote in counted) / sum(lengths)
    prompts = [*_prompt_chars(traces, config)]
    return tokens_of(lengths, fmean(prompts) / chars if prompts and chars else 0.0)


def _prompt_chars(traces: Sequence[Trace], config: Config) -> Iterator[int]:
    builder, rng, most = PromptBuilder.of(config), random.Random(0), config.judge.max_response_chars
    for trace in traces:
        group = trace.judgement.group
        for judged in trace.judgement.lists:
            shown = tuple(group.responses[member][:most] for member in judged.members)
            part = Group(group.conversation, shown, group.reference, group.rubric)
            prompt = builder.listwise(part, tuple(range(len(shown))), draw_marker(rng, part))
            yield sum(len(message.content) for message in prompt.messages)
