"""Whether a GRM answers: a busy one has no time for a probe, but its answers show that it works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.serving import probing
from grm_plugin.serving.probing import PROBE_TIMEOUT_S, ProbedGenerator
from grm_plugin.types import Completion, Message, Prompt, Sampling
from support.factories import Scripted, completions

PROMPT = Prompt((Message("user", "Judge these."),), (0,))
SAMPLING = Sampling(n=1, temperature=0.5, top_p=1.0, max_tokens=64)


class Queue:
    """A GRM that answers a request when a test says so; a probe waits behind the other requests for ever."""

    def __init__(self) -> None:
        self.now = 0.0
        self.probes = 0
        self.grm = ProbedGenerator(self, lambda: self.now)
        self._asked: list[asyncio.Future[list[Completion]]] = []

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        self.probes += sampling.max_tokens == 1
        self._asked.append(asyncio.get_running_loop().create_future())
        return await self._asked[-1]

    async def answers(self, outcome: list[Completion] | Exception) -> None:
        """Send a request, and let the GRM answer it at once."""
        task = asyncio.create_task(self.grm.generate(PROMPT, SAMPLING))
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            self._asked[-1].set_exception(outcome)
        else:
            self._asked[-1].set_result(outcome)
        await asyncio.wait([task])
        task.exception()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Within the block a request waits for its answer."""
        task = asyncio.create_task(self.grm.generate(PROMPT, SAMPLING))
        await asyncio.sleep(0)
        yield
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(probing, "PROBE_TIMEOUT_S", 0.05)
    return Queue()


@pytest.mark.parametrize("answer", [completions([5]), PromptTooLong("3 tokens too many")])
async def test_who_answers_while_busy_is_well(
    answer: list[Completion] | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue()
    async with queue.busy():
        await queue.answers(answer)
        queue.now += PROBE_TIMEOUT_S
        assert (await queue.grm.problem(), queue.probes) == ("", 0)
        queue.now += 1
        monkeypatch.setattr(probing, "PROBE_TIMEOUT_S", 0.05)
        assert "did not answer within" in await queue.grm.problem(), "that was long ago"
        assert queue.probes == 1


@pytest.mark.parametrize("failure", [EngineError("its process is gone"), OSError("gone"), []])
async def test_a_failure_after_the_last_answer_is_looked_into(
    queue: Queue, failure: list[Completion] | Exception
) -> None:
    async with queue.busy():
        await queue.answers(completions([5]))
        await queue.answers(failure)
        assert "did not answer within" in await queue.grm.problem()
    assert queue.probes == 1


async def test_a_reason_is_not_a_whole_traceback() -> None:
    def fail(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise OSError("a line of a traceback\n" * 1000)

    problem = await ProbedGenerator(Scripted(fail)).problem()
    assert problem.startswith("OSError: a line")
    assert len(problem) <= probing.PROBLEM_CHARS


async def test_the_idle_are_asked(queue: Queue) -> None:
    await queue.answers(completions([5]))
    assert "did not answer within" in await queue.grm.problem()
    assert queue.probes == 1


async def test_an_answer_to_somebody_else_while_the_probe_waits_counts(queue: Queue) -> None:
    async with queue.busy():
        looking = asyncio.create_task(queue.grm.problem())
        await asyncio.sleep(0)
        await queue.answers(completions([5]))
        assert (await looking, queue.probes) == ("", 1)
