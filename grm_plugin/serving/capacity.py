"""The arithmetic of a pool of GRM replicas: what a training step asks of it, how long that takes, and what it needs.

A rule of thumb from two measured numbers per model, not a derivation from a GPU's data sheet: roofline figures are two
to four times too good. All work of a step is taken to arrive at once; `plan/simulation.py` spreads it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles

from grm_plugin.config import Config
from grm_plugin.judging.comparing import pair_count
from grm_plugin.judging.grouping import split_evenly

UTILISATION = 0.8
"""Share of its time that a pool can be kept busy by work that comes when it comes."""

SAME_WIDTH = 0.05
"""Measurements whose widths differ by less than this share are of one width."""

TIED = "a third of them where responses differ, two thirds where they hardly do"
"""How many neighbours mode tiebreak has compared in generated groups (`tests/benchmarks/bench_modes.py`)."""

MOST_REPLICAS = 1 << 14
"""More is not searched for."""

MOST_VOTES = 1024
"""The largest k that a configuration takes."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """How long texts are, in tokens of the GRM.

    Attributes:
        critique: the mean critique.
        longest: the longest critique that matters: one in twenty is longer.
        prompt: the mean prompt, with the responses of a list; 0 where it is not known.
    """

    critique: float
    longest: float
    prompt: float = 0.0


def tokens_of(critiques: Sequence[int], prompt: float) -> Tokens:
    """What is known from the lengths of some critiques (at least one), and of the mean prompt."""
    mean = fmean(critiques)
    # 19 cuts into twenty parts: the last one is where one critique in twenty is longer.
    longest = quantiles(critiques, n=20)[-1] if len(critiques) > 1 else mean
    return Tokens(mean, max(mean, longest), prompt)


@dataclass(frozen=True, slots=True)
class Step:
    """What a training step asks of the GRM.

    Attributes:
        prompts: prompts of the step, each with `n` responses.
        lists: lists of responses that are read together.
        requests: prompts that the GRM reads: one per order of a list.
        critiques: votes, k per list.
        written: critiques that are generated: fewer than the votes where `sampling.temperature` is 0.
        tokens: how long the texts are.
        tiebreaks: pairs among the lists that are compared only where votes are tied (`judge.mode` tiebreak).
        tiebreak_critiques: of the critiques, those on such pairs.
    """

    prompts: int
    n: int
    lists: int
    requests: int
    critiques: int
    written: int
    tokens: Tokens
    tiebreaks: int = 0
    tiebreak_critiques: int = 0

    @property
    def generated(self) -> float:
        """Tokens that the GRM writes."""
        return self.written * self.tokens.critique

    @property
    def cache_per_critique(self) -> float:
        """Tokens of KV cache that a critique takes while it is written; those of one prompt share what it takes."""
        return self.tokens.prompt * self.requests / max(1, self.written) + self.tokens.critique


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast one replica writes: every `step_s + sequence_s * running` seconds each running critique gets a token.

    Attributes:
        step_s: seconds that any step of the model takes.
        sequence_s: further seconds for each critique that is written at the same time.
        at_once: most critiques that are written at the same time; further ones wait.
        prompt_s: seconds for each token of a prompt.
    """

    step_s: float
    sequence_s: float
    at_once: int
    prompt_s: float = 0.0

    def token_s(self, running: float) -> float:
        """Seconds from one token of a critique to the next."""
        return self.step_s + self.sequence_s * running

    def tokens_per_s(self, running: float) -> float:
        """Of all critiques together."""
        return running / self.token_s(running) if running else 0.0


def step_of(config: Config, prompts: int, n: int, tokens: Tokens, k: int | None = None) -> Step:
    """What a step of `prompts` prompts with n responses each asks for, with k votes (None: `sampling.k`).

    With `sampling.adaptive` it is the most that it may ask for, and so it is with mode tiebreak: that every response is
    compared with its neighbours. Nothing is taken off for responses that are blank or repeat each other.
    """
    judge, sampling = config.judge, config.sampling
    k = k or sampling.k
    if judge.mode == "pairwise" and n > 1:
        lists = [2] * pair_count(n, judge.comparisons)
    else:
        lists = [len(part) for part in split_evenly(range(n), judge.list_size)]
    ties = sum(length - 1 for length in lists) if judge.mode == "tiebreak" else 0
    tie_k = judge.tiebreak.k or k
    orders = sum(sampling.orders_of(length, k) for length in lists) + ties * sampling.orders_of(2, tie_k)
    votes = len(lists) * k + ties * tie_k
    written = orders if sampling.temperature == 0 else votes
    return Step(
        *(prompts, n, prompts * (len(lists) + ties), prompts * orders, prompts * votes, prompts * written, tokens),
        *(prompts * ties, prompts * ties * tie_k),
    )


def described(config: Config, step: Step) -> str:
    """What the critiques of a step are made of, for the user."""
    k, mode = config.sampling.k, config.judge.mode
    lists = (step.lists - step.tiebreaks) // step.prompts
    if mode == "pairwise":
        return f"{step.prompts:,} prompts x {lists:,} pair(s) of their {step.n} responses x k = {k}"
    of_lists = f"{step.prompts:,} prompts x {lists:,} list(s) of their {step.n} responses x k = {k}"
    if not step.tiebreaks:
        return of_lists
    return (
        f"at most: {of_lists}, and {step.tiebreak_critiques:,} if all neighbours are tied: {step.tiebreaks:,} pairs x "
        f"{step.tiebreak_critiques // step.tiebreaks:,}"
    )


def held_at_once(config: Config, step: Step, sequences: int | None, kv_tokens: float | None) -> int:
    """How many critiques one replica writes at the same time: at least 1.

    Args:
        config: with `engine.max_concurrency`, which counts prompts.
        step: says how many critiques a prompt has, and how long they are.
        sequences: the engine's own limit (vLLM's max_num_seqs); None where there is none, or it is not known.
        kv_tokens: tokens that its KV cache holds; None where that is not known.
    """
    limits = [config.engine.max_concurrency * step.written / max(1, step.requests)]
    if sequences is not None:
        limits.append(sequences)
    if kv_tokens is not None:
        limits.append(kv_tokens / max(1.0, step.cache_per_critique))
    return max(1, int(min(limits)))


def seconds(step: Step, speed: Speed, replicas: int) -> float:
    """How long a pool takes for a step whose lists all come at once: until the last vote is in.

    Each replica gets the same share, writes as many critiques as it can at once, and as many again until none waits;
    the last of them is a long one.
    """
    mine = math.ceil(step.written / replicas)
    if not mine:
        return 0.0
    waves, rest = divmod(mine, speed.at_once)
    if not rest:
        waves, rest = waves - 1, speed.at_once
    reading = step.requests / replicas * step.tokens.prompt * speed.prompt_s
    writing = step.tokens.critique * (waves * speed.token_s(speed.at_once) + speed.token_s(rest))
    return reading + writing + max(0.0, step.tokens.longest - step.tokens.critique) * speed.token_s(1)


def replicas_within(step: Step, speed: Speed, limit_s: float) -> int | None:
    """The fewest replicas that are through with a step in `limit_s` seconds; None where no number of them is."""
    if seconds(step, speed, MOST_REPLICAS) > limit_s:
        return None
    low, high = 1, MOST_REPLICAS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if seconds(step, speed, middle) <= limit_s else (middle + 1, high)
    return low


def replicas_beside(step: Step, speed: Speed, rollout_s: float) -> int:
    """The fewest replicas that keep up with a rollout of so many seconds (above 0), in which lists come evenly.

    They have the step's work done in the time, with a fifth of it to spare: only the last lists are waited for.
    """
    reading = step.requests * step.tokens.prompt * speed.prompt_s
    work_s = step.generated / speed.tokens_per_s(speed.at_once) + reading
    return max(1, math.ceil(work_s / (UTILISATION * rollout_s)))


def largest_k(config: Config, step: Step, speed: Speed, replicas: int, limit_s: float) -> int:
    """The most votes per list with which the pool is through with a step in `limit_s` seconds; 0 where 1 is too many.

    `speed.at_once` is taken to stay, though more critiques of one prompt share more of the cache.
    """
    low, high = 0, MOST_VOTES
    while low < high:
        middle = (low + high + 1) // 2
        asked = step_of(config, step.prompts, step.n, step.tokens, middle)
        low, high = (middle, high) if seconds(asked, speed, replicas) <= limit_s else (low, middle - 1)
    return low


def tokens_per_s_within(step: Step, replicas: int, limit_s: float) -> float:
    """Tokens that each replica must write per second to be through with a step in `limit_s` seconds."""
    return step.generated / replicas / limit_s


@dataclass(frozen=True, slots=True)
class Measured:
    """A replica wrote `tokens_per_s` while `running` critiques were under way."""

    running: float
    tokens_per_s: float


def fit_speed(points: Sequence[Measured], at_once: int) -> Speed:
    """The speed that explains measurements best (least squares on the seconds per token, in proportion).

    Where they do not show that more critiques take longer, all seconds are the step's, as on a GPU that waits for its
    memory. Nothing tells then how a wider batch than theirs would do, and `at_once` is at most the widest.

    Args:
        points: of one replica.
        at_once: most critiques that it writes at the same time.

    Raises:
        ValueError: there is no point with tokens in it.
    """
    points = [point for point in points if point.running > 0 and point.tokens_per_s > 0]
    if not points:
        raise ValueError("nothing was measured")
    token_s = [point.running / point.tokens_per_s for point in points]
    weights = [1 / value**2 for value in token_s]  # a tenth too slow is as wrong at one width as at another
    middle = _mean([point.running for point in points], weights)
    mean_s = _mean(token_s, weights)
    spread = _mean([(point.running - middle) ** 2 for point in points], weights)
    if spread > (SAME_WIDTH * middle) ** 2:
        pairs = zip(points, token_s, strict=True)
        slope = _mean([(point.running - middle) * (value - mean_s) for point, value in pairs], weights) / spread
        base = mean_s - slope * middle
        if base < 0:  # seconds grow faster than the width: replicas full of critiques that wait
            return Speed(0.0, sum(token_s) / sum(point.running for point in points), at_once)
        if slope > 0:
            return Speed(base, slope, at_once)
    return Speed(mean_s, 0.0, min(at_once, math.ceil(max(point.running for point in points))))


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / math.fsum(weights)
