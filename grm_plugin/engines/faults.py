"""Fault injection: files in a folder make the fake engine of a running process misbehave.

A file named after a process id, or else one named `all`, holds one fault. It is read before every answer; without a
file, or with an empty one, all is well.

    slow 2.5     answers 2.5 s later
    hang         never answers
    raise        fails with an EngineError
    die          ends the process
    sick         fails the health check, and answers
    empty        answers with an empty list
    few, many    answers with one item too few, or too many
    garbage      answers with items of another type
    unparsable   answers with completions that hold no scores (generators only)
    nan          answers with NaN (meta RMs only)
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grm_plugin.errors import EngineError
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import Completion, Conversation, Prompt, Sampling

FOR_EVER_S = 1e6

_ALTERED: dict[str, Callable[[list[Any]], Any]] = {
    "empty": lambda _: [],
    "few": lambda answer: answer[1:],
    "many": lambda answer: [*answer, answer[-1]],
    "garbage": lambda answer: ["garbage" for _ in answer],
    "unparsable": lambda answer: [Completion("Scores: \\boxed{well, it depends}") for _ in answer],
    "nan": lambda answer: [math.nan for _ in answer],
}


class Faults:
    """The faults of this process, as the files in `folder` (None: never any) say at each moment."""

    def __init__(self, folder: str | None) -> None:
        self._files = () if folder is None else (Path(folder, str(os.getpid())), Path(folder, "all"))

    def now(self) -> tuple[str, float]:
        """The fault's name (empty: none) and its number."""
        for file in self._files:
            try:
                name, _, number = file.read_text().strip().partition(" ")
            except FileNotFoundError:
                continue
            return name, float(number or 0.0)
        return "", 0.0

    async def alter(self, answer: list[Any]) -> Any:
        """The answer that leaves this process instead of `answer`, if any does.

        Raises:
            EngineError: the fault is `raise`.
        """
        name, number = self.now()
        if name == "die":
            os._exit(1)
        if name == "raise":
            raise EngineError("injected")
        if name in ("slow", "hang"):
            await asyncio.sleep(number if name == "slow" else FOR_EVER_S)
        altered = _ALTERED.get(name)
        return altered(answer) if altered else answer

    def check_health(self) -> None:
        """Raises `EngineError` when the fault is `sick`."""
        if self.now()[0] == "sick":
            raise EngineError("injected")


class FaultyGenerator:
    """A `Generator` that misbehaves as told."""

    def __init__(self, generator: Generator, folder: str | None) -> None:
        self._generator = generator
        self._faults = Faults(folder)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        answer: list[Completion] = await self._faults.alter(await self._generator.generate(prompt, sampling))
        return answer

    async def check_health(self) -> None:
        self._faults.check_health()


class FaultyMetaRM:
    """A `MetaRM` that misbehaves as told."""

    def __init__(self, meta_rm: MetaRM, folder: str | None) -> None:
        self._meta_rm = meta_rm
        self._faults = Faults(folder)

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        answer: list[float] = await self._faults.alter(await self._meta_rm.rate(conversations))
        return answer

    async def check_health(self) -> None:
        self._faults.check_health()
