"""Holds what our vLLM engines answer against transformers: every token of prompts and greedy completions, and ratings.

Used on CPU (tests/e2e/test_real_structure.py) and on GPUs (tests/gpu).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM
from grm_plugin.types import Completion, Conversation, Message, Prompt, Sampling, message_dicts
from support.transformers_reference import Reference

QUESTION = "Query: Name two colours that a traffic light has, and nothing else.\n\n"
PROMPTS = tuple(
    Prompt((Message("user", f"{QUESTION}Response 1 ABCDEF: {answer}\nEnd 1 ABCDEF"),), (0,))
    for answer in ("red, green", "purple and a very long story about how I came to think so", "I do not know.", "")
)
CRITIQUES = ("Scores: \\boxed{9}", "Analysis: too short\nScores: \\boxed{1}", "x " * 40)
RATED: tuple[Conversation, ...] = tuple((*PROMPTS[0].messages, Message("assistant", text)) for text in CRITIQUES)
MAX_TOKENS = 48


@dataclass(frozen=True)
class Written:
    """What vLLM wrote to a prompt, and what our engine made of it."""

    prompt: list[int]
    tokens: list[int]
    prompt_logprobs: list[float]
    """Of each token of the prompt but the first."""
    logprobs: list[float]
    """Of each token of the completion."""
    completion: Completion


@dataclass(frozen=True)
class Difference:
    """How far vLLM is from transformers, in nats; 0 is equal.

    `reading`: the largest difference of the log-probability of a token of the prompt. `writing`: of the completion.
    `behind`: how much less likely than the likeliest token transformers finds a token that vLLM chose greedily.
    `mean`: the mean difference over all tokens.
    """

    reading: float
    writing: float
    behind: float
    mean: float

    @property
    def worst(self) -> float:
        return max(self.reading, self.writing, self.behind)


@contextmanager
def with_logprobs(engine: VLLMEngine) -> Iterator[list[Any]]:
    """Have vLLM tell log-probabilities with each answer that it gives our engine; yields the list of its answers."""
    llm, answers = engine._llm, []
    generate = llm.generate

    async def generate_with_logprobs(prompt: Any, params: Any, request_id: str) -> Any:
        params.logprobs = params.prompt_logprobs = 0
        params.skip_reading_prefix_cache = True  # what is not computed has no log-probabilities
        async for answer in generate(prompt, params, request_id):
            answers.append(answer)
            yield answer

    llm.generate = generate_with_logprobs
    try:
        yield answers
    finally:
        del llm.generate


async def write(engine: VLLMEngine, prompt: Prompt, max_tokens: int = MAX_TOKENS) -> Written:
    """Our engine's greedy completion of a prompt."""
    sampling = Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=max_tokens)
    with with_logprobs(engine) as answers:
        (completion,) = await engine.generate(prompt, sampling)
    (answer,) = answers
    (output,) = answer.outputs
    tokens = list(output.token_ids)
    return Written(
        list(answer.prompt_token_ids),
        tokens,
        [_only(entry) for entry in answer.prompt_logprobs[1:]],
        [entry[token].logprob for entry, token in zip(output.logprobs, tokens, strict=True)],
        completion,
    )


def _only(entry: Any) -> float:
    """The log-probability of the one token that vLLM was asked about."""
    (found,) = entry.values()
    return float(found.logprob)


def difference(written: Sequence[Written], reference: Reference) -> Difference:
    """What was written, held against what transformers computes from the same tokens."""
    reading, writing, behind = [], [], []
    for one in written:
        logprobs = reference.logprobs([*one.prompt, *one.tokens])
        own = [float(logprobs[at - 1, token]) for at, token in enumerate([*one.prompt, *one.tokens]) if at]
        asked = len(one.prompt) - 1
        reading += [abs(a - b) for a, b in zip(one.prompt_logprobs, own[:asked], strict=True)]
        writing += [abs(a - b) for a, b in zip(one.logprobs, own[asked:], strict=True)]
        likeliest = logprobs[asked:-1].max(-1).values.tolist()
        behind += [best - chosen for best, chosen in zip(likeliest, own[asked:], strict=True)]
    every = reading + writing
    assert all(map(math.isfinite, every)), "vLLM or transformers gives probabilities that are no numbers"
    return Difference(max(reading), max(writing), max(behind), sum(every) / len(every))


def rounding(written: Sequence[Written], reference: Reference, rounded: Reference) -> float:
    """The mean difference in nats, as `Difference.mean`, that another dtype makes within transformers."""
    differences: list[float] = []
    for one in written:
        tokens = [*one.prompt, *one.tokens]
        exact, other = (model.logprobs(tokens) for model in (reference, rounded))
        differences += [
            abs(float(exact[at - 1, token] - other[at - 1, token])) for at, token in enumerate(tokens) if at
        ]
    return sum(differences) / len(differences)


async def rate(meta_rm: VLLMMetaRM) -> list[float]:
    """Our meta RM's ratings of `RATED`."""
    return await meta_rm.rate(RATED)


def ratings(reference: Reference) -> list[float]:
    """Those of transformers."""
    return [reference.rating(reference.prompt(message_dicts(rated), False)) for rated in RATED]
