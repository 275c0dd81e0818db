"""Measures how fast the engine of a configuration writes critiques, from one at a time to as many as it takes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from grm_plugin._util.deadline import Deadline
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.config import Config
from grm_plugin.errors import EngineError
from grm_plugin.judging.orders import balanced_orders
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.judging.sampling import sampling_of, spare_of
from grm_plugin.judging.seams import Generator
from grm_plugin.serving.capacity import Measured
from grm_plugin.types import Completion, Group, Message, Prompt, Sampling

T = TypeVar("T")

LONGEST_S = 120.0
"""No further width is tried after so many seconds; a width that has begun is finished, or given up at twice that."""

WIDTHS = (1, 4, 16, 64, 256, 1024)

EXAMPLE = Group(
    (Message("user", "Explain to a child why the sky is blue, in a few sentences."),),
    (
        "Sunlight is made of many colours. Air bounces blue light around more than red light, so blue comes to your "
        "eyes from everywhere in the sky.",
        "The sky is blue because it reflects the sea.",
        "Because of Rayleigh scattering, whose cross section goes with the inverse fourth power of the wavelength.",
        "Blue light is scattered most by the small parts of the air. That is why we see it all over the sky, and why "
        "the sun looks a little yellow.",
    ),
)
"""What is judged where the user gives nothing of their own."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What the engine did.

    Attributes:
        points: tokens per second by critiques at a time, of one replica.
        lengths: tokens of the critiques.
        prompt_chars: mean characters of a prompt.
    """

    points: tuple[Measured, ...]
    lengths: tuple[int, ...]
    prompt_chars: float


def probe(config: Config, groups: Sequence[Group] = (EXAMPLE,), widest: int = WIDTHS[-1]) -> Probed:
    """Load the engine here and have it write critiques, as the configuration samples them.

    Args:
        config: its `engine` is measured; with several replicas, one of them.
        groups: what is judged, in turns.
        widest: no more critiques at a time than this.

    Raises:
        EngineError: it cannot be loaded, fails, or answers nothing in time.
        ConfigError: there are too few GPUs for it.
    """
    engine = config.engine.model_copy(update={"replicas": 1}) if hasattr(config.engine, "replicas") else config.engine
    alone = config.model_copy(update={"engine": engine, "meta_rm": None})
    with running_engines(alone) as (generator, _):
        return asyncio.run(measure(generator, config, groups, widest))


async def measure(generator: Generator, config: Config, groups: Sequence[Group], widest: int) -> Probed:
    """Have an engine that runs write critiques, with all the limits that the judge gives them.

    Raises:
        EngineError: it fails, or answers nothing in time.
    """
    rng, builder = random.Random(0), PromptBuilder.of(config)
    points, lengths, chars = [], [], []
    deadline, limit = Deadline.after(LONGEST_S), Deadline.after(2 * LONGEST_S)

    def request(number: int) -> tuple[Prompt, Sampling]:
        group = groups[number % len(groups)]
        shown = replace(group, responses=group.responses[: config.judge.shown_together])
        order = balanced_orders(len(shown.responses), 1, rng)[0]
        made = builder.listwise(shown, order, draw_marker(rng, shown))
        chars.append(sum(len(message.content) for message in made.messages))
        return made, sampling_of(config.sampling, 1, None, spare_of(config, shown))

    async def critique(number: int) -> tuple[float, Completion]:
        began = time.monotonic()
        [completion] = await generator.generate(*request(number))
        return time.monotonic() - began, completion

    await _in_time(critique(0), limit)  # the first one compiles and fills caches
    for width in [width for width in WIDTHS if width <= widest] or [1]:
        began = time.monotonic()
        done = await _in_time(asyncio.gather(*(critique(number) for number in range(width))), limit)
        wall_s, written = max(time.monotonic() - began, 1e-9), [completion.tokens for _, completion in done]
        if not sum(written):
            raise EngineError("the server does not say how many tokens its critiques have: give --tokens-per-s")
        points.append(Measured(sum(took for took, _ in done) / wall_s, sum(written) / wall_s))
        lengths += written
        if deadline.over:
            break
    return Probed(tuple(points), tuple(lengths), sum(chars) / len(chars))


async def _in_time(work: Awaitable[T], limit: Deadline) -> T:
    try:
        async with limit.timeout():
            return await work
    except TimeoutError:
        raise EngineError(f"the engine did not write its critiques within {2 * LONGEST_S:g} s") from None
