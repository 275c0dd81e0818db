"""What k samples of a problem cost, in floating-point operations and in money. The prompt is paid once for all of them.

After arXiv 2407.21787: a token costs 2 * (parameters + 2 * layers * width * context) operations. Of a mixture of
experts the parameters are the active ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grm_plugin.best_of.problems import Problem

CHARS_PER_TOKEN = 4.0
"""Of English text, where nobody has counted."""


def flops_per_token(params: float, layers: int = 0, width: int = 0, context: float = 0.0) -> float:
    """Operations for one token, read or written.

    Args:
        params: parameters that take part in a token.
        layers, width: of the model, for attention; 0 leaves it out.
        context: tokens that the model looks back at.
    """
    return 2.0 * (params + 2.0 * layers * width * context)


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model's price.

    Attributes:
        params: parameters that take part in a token; 0 where it is not known.
        layers, width: for attention; 0 leaves it out.
        price_in, price_out: per million tokens read and written; None where it is not known.
    """

    params: float = 0.0
    layers: int = 0
    width: int = 0
    price_in: float | None = None
    price_out: float | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that a model reads and writes, on average per problem.

    Attributes:
        read: once, whatever the number of samples.
        read_each, written_each: for each of k samples.
        context: that a token looks back at.
        guessed: whether some were counted as a fourth of the characters.
    """

    read: float
    read_each: float
    written_each: float
    context: float
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a problem. None where it is not known."""

    flops: float | None
    money: float | None

    def and_(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(_sum(self.flops, other.flops), _sum(self.money, other.money))


def cost_of(model: Model, tokens: Tokens, k: int) -> Cost:
    """What k samples of a problem cost."""
    read, written = tokens.read + k * tokens.read_each, k * tokens.written_each
    each = flops_per_token(model.params, model.layers, model.width, tokens.context)
    money = None
    if model.price_in is not None and model.price_out is not None:
        money = (read * model.price_in + written * model.price_out) / 1e6
    return Cost((read + written) * each if model.params else None, money)


def tokens_of(problems: Sequence[Problem]) -> Tokens:
    """What the policy reads and writes for a problem, on average."""
    prompts = [
        problem.prompt_tokens or sum(len(turn.content) for turn in problem.asked) / CHARS_PER_TOKEN
        for problem in problems
    ]
    samples = [sample for problem in problems for sample in problem.samples]
    written = [len(it.text) / CHARS_PER_TOKEN if it.tokens is None else it.tokens for it in samples]
    prompt, each = sum(prompts) / len(prompts), sum(written) / len(written)
    guessed = any(it.prompt_tokens is None for it in problems) or any(it.tokens is None for it in samples)
    return Tokens(prompt, 0.0, each, prompt + each, guessed)


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
