"""Whether the GRM answers: a busy GRM is watched, an idle one is asked for one token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.seams import Generator
from grm_plugin.types import Completion, Message, Prompt, Sampling

PROBLEM_CHARS = 400
"""Longest reason in the reply of `/ready`: an error of Ray brings its traceback along."""

PROBE_TIMEOUT_S = 30.0
"""A GRM that has answered nothing for so long counts as unable to answer."""

PROBE = Prompt((Message("user", "ready?"),), (0,))
ONE_TOKEN = Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=1)


class ProbedGenerator:
    """A `Generator` that passes all calls on to another one and remembers when that one last answered.

    Args:
        generator: runs the GRM.
    """

    def __init__(self, generator: Generator, clock: Callable[[], float] = time.monotonic) -> None:
        self.generator = generator
        self._clock = clock
        self._under_way = 0
        self._answered_at: float | None = None
        """Time of the last answer; None before the first one and after a failure."""

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """See `Generator.generate`."""
        self._under_way += 1
        try:
            completions = await self.generator.generate(prompt, sampling)
            self._answered_at = self._clock() if completions else None
        except PromptTooLong:  # the GRM works: it has measured the prompt and refused it
            self._answered_at = self._clock()
            raise
        except Exception:
            self._answered_at = None
            raise
        finally:
            self._under_way -= 1
        return completions

    async def problem(self) -> str:
        """Why the GRM cannot judge now, or an empty string.

        The GRM is asked for one token, unless it is busy and has answered something in the last 30 s: the requests of
        a training step may keep such a token waiting for minutes.
        """
        if self._busy_and_answering():
            return ""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self.generator.generate(PROBE, ONE_TOKEN)
        except TimeoutError:
            return "" if self._busy_and_answering() else f"the GRM did not answer within {PROBE_TIMEOUT_S:g} s"
        except EngineError as error:
            return str(error)
        except Exception as error:  # Ray's own errors while Serve restarts: they are reported, not a 500 of `/ready`
            return f"{type(error).__name__}: {error}"[:PROBLEM_CHARS]
        return ""

    def _busy_and_answering(self) -> bool:
        at = self._answered_at
        return self._under_way > 0 and at is not None and self._clock() - at <= PROBE_TIMEOUT_S
