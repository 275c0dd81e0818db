"""Fault injection: files in a folder make the fake engines of running processes misbehave.

A file named after a process id, or else one named `all`, holds one fault for the engines of that process. It is read
before every answer; without a file, or with an empty one, all is well.

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

In the process of a test, a fake engine is made to obey its folder by

    monkeypatch.setattr(fake, "FakeEngine", faulty_engine(folder))

and in the processes that a test starts by the environment variables of `environment(folder)`: they put a
`sitecustomize` on PYTHONPATH, which every Python process imports when it starts.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from grm_plugin.engines import fake
from grm_plugin.engines.fake import FakeEngine, FakeMetaRM
from grm_plugin.errors import EngineError
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.types import Completion, Conversation, Prompt, Sampling

FOLDER_ENV = "GRM_TEST_FAULTS"
"""Names the folder to processes that `faults_site/sitecustomize.py` is imported in."""

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
    """The faults of this process, as the files in `folder` say at each moment."""

    def __init__(self, folder: Path) -> None:
        self._files = folder / str(os.getpid()), folder / "all"

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

    def __init__(self, generator: Generator, folder: Path) -> None:
        self._generator = generator
        self._faults = Faults(folder)

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        answer: list[Completion] = await self._faults.alter(await self._generator.generate(prompt, sampling))
        return answer

    async def check_health(self) -> None:
        self._faults.check_health()


class FaultyMetaRM:
    """A `MetaRM` that misbehaves as told."""

    def __init__(self, meta_rm: MetaRM, folder: Path) -> None:
        self._meta_rm = meta_rm
        self._faults = Faults(folder)

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        answer: list[float] = await self._faults.alter(await self._meta_rm.rate(conversations))
        return answer

    async def check_health(self) -> None:
        self._faults.check_health()


def faulty_engine(folder: Path) -> Callable[..., FaultyGenerator]:
    """What stands in for the class `FakeEngine`, and takes its arguments."""
    return lambda *arguments: FaultyGenerator(FakeEngine(*arguments), folder)


def faulty_meta_rm(folder: Path) -> Callable[..., FaultyMetaRM]:
    """What stands in for the class `FakeMetaRM`, and takes its arguments."""
    return lambda *arguments: FaultyMetaRM(FakeMetaRM(*arguments), folder)


def inject(folder: str) -> None:
    """From now on, the fake engines that this process builds obey the files in `folder`."""
    setattr(fake, "FakeEngine", faulty_engine(Path(folder)))  # noqa: B010, an assignment is an error to mypy
    setattr(fake, "FakeMetaRM", faulty_meta_rm(Path(folder)))  # noqa: B010


def environment(folder: Path) -> dict[str, str]:
    """Environment variables with which the fake engines of a process, and of its children, obey the files in `folder`.

    For processes that would import no `sitecustomize` otherwise: this one hides it.
    """
    tests = Path(__file__).resolve().parents[1]
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    path = [str(tests / "support" / "faults_site"), str(tests), *inherited]
    return {"PYTHONPATH": os.pathsep.join(path), FOLDER_ENV: str(folder)}
