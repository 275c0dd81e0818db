"""Whether a GRM answers: a busy one has no time for a probe, but its answers show that it works."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import EngineError, EngineRefusal, PromptTooLong
from grm_plugin.judging.seams import ALL_VOTES, Wanted
from grm_plugin.serving import probing
from grm_plugin.serving.probing import PROBE_TIMEOUT_S, ProbedGenerator, ProbedLists, ProbedMetaRM, probe_sampling
from grm_plugin.serving.service import RewardService
from grm_plugin.types import (
    Completion,
    Conversation,
    Group,
    ListJudgement,
    Message,
    Prompt,
    Sample,
    Sampling,
    Unparsed,
    UnparsedReason,
)
from grm_plugin.wire.schemas import ScoreRequest, WireGroup
from support.factories import (
    Scripted,
    by_number,
    completions,
    make_config,
    make_critique,
    make_group,
    never,
    scoring,
)

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


async def test_a_refusal_that_will_stay_is_known_until_the_next_look() -> None:
    errors: list[EngineError] = [EngineRefusal("no such model"), EngineError("overloaded")]

    def fail(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise errors.pop(0)

    grm = ProbedGenerator(Scripted(fail))
    assert (await grm.problem(), grm.refused) == ("no such model", True)
    assert (await grm.problem(), grm.refused) == ("overloaded", False)


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


@pytest.mark.parametrize(
    ("sampling", "n"),
    [
        ({"k": 8}, 2),
        ({"k": 3}, 1),
        ({"k": 8, "orders": 1}, 8),
        ({"k": 32, "adaptive": {}}, 2),
        ({"k": 9, "temperature": 0.7, "top_p": 0.9, "seed": 5}, 3),
        ({"k": 8, "temperature": 0, "top_p": 0.9}, 1),
    ],
)
async def test_the_probe_asks_what_judging_asks(sampling: dict[str, Any], n: int) -> None:
    """On a full list of four; but for one token."""
    generator = scoring(by_number)
    config = make_config(sampling=sampling)
    service = RewardService(config, generator)
    assert await service.problem() == ""
    await service.judge.judge([make_group("1", "2", "3", "4")])
    (_, probe), *judged = generator.calls
    assert probe == probe_sampling(config)
    assert (probe.n, probe.max_tokens) == (n, 1)
    asked = {(draw.n, draw.temperature, draw.top_p, draw.seed is None) for _, draw in judged}
    assert (probe.n, probe.temperature, probe.top_p, probe.seed is None) in asked


class Meta:
    """A meta RM that answers as a test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Sequence[Conversation]] = []

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        self.asked.append(conversations)
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        return [self.answer for _ in conversations]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (EngineError("its process is gone"), "the meta RM: its process is gone"),
        (OSError("gone"), "the meta RM: OSError: gone"),
        (asyncio.CancelledError(), "the meta RM cancelled the request by itself"),
        (math.nan, "the meta RM answered with a logit that is NaN"),
        (None, "the meta RM did not answer within"),
        (0.5, ""),
    ],
    ids=repr,
)
async def test_the_meta_rm_is_asked_for_a_rating(answer: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_TIMEOUT_S", 0.05)
    meta = Meta(answer)
    service = RewardService(make_config(meta_rm={"type": "fake"}), scoring(by_number), meta)
    problem = await service.problem()
    assert problem.startswith(words)
    assert bool(problem) is bool(words)
    ((conversation,),) = meta.asked
    assert [message.role for message in conversation] == ["user", "assistant"]


async def test_the_problems_of_both_are_told() -> None:
    def fail(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise EngineError("out of memory")

    service = RewardService(make_config(meta_rm={"type": "fake"}), Scripted(fail), Meta(EngineError("no such model")))
    assert await service.problem() == "out of memory; the meta RM: no such model"


@pytest.mark.parametrize("answer", [asyncio.CancelledError(), []], ids=repr)
async def test_a_grm_that_cancels_itself_or_gives_nothing_is_not_ready(answer: Any) -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    assert await ProbedGenerator(Scripted(reply)).problem() != ""


async def test_a_busy_meta_rm_is_watched() -> None:
    meta = Meta(0.5)
    now = 0.0
    watched = ProbedMetaRM(meta, lambda: now)
    assert await watched.rate([PROMPT.messages]) == [0.5]
    meta.answer = None
    busy = asyncio.create_task(watched.rate([PROMPT.messages]))
    await asyncio.sleep(0)
    assert await watched.problem() == ""
    assert len(meta.asked) == 2, "no probe"
    busy.cancel()
    await asyncio.wait([busy])


async def test_a_readiness_look_that_is_given_up_is_no_problem_of_the_model() -> None:
    looking = asyncio.create_task(ProbedGenerator(Scripted(never)).problem())
    await asyncio.sleep(0)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


class Elsewhere:
    """Judges lists as a test says, and answers probes."""

    def __init__(self, judgement: ListJudgement, probe: Any = None) -> None:
        self.judgement: ListJudgement | None = judgement
        self.probe_says = completions([5]) if probe is None else probe
        self.probes: list[Sampling] = []
        self.wanted: list[Wanted] = []

    async def judge(self, group: Group, members: Any, deadline: Any = None, wanted: Wanted = ALL_VOTES) -> Any:
        self.wanted.append(wanted)
        if self.judgement is None:
            await asyncio.Event().wait()
        assert self.judgement is not None
        return self.judgement

    async def probe(self, sampling: Sampling) -> list[Completion]:
        self.probes.append(sampling)
        if isinstance(self.probe_says, Exception):
            raise self.probe_says
        return list(self.probe_says)


def judged(*reasons: UnparsedReason, votes: int = 0, meta_error: str = "") -> ListJudgement:
    critiques = tuple(make_critique(5, sample=index) for index in range(votes))
    return ListJudgement((0,), (None,), critiques, tuple(map(Unparsed, reasons)), (0,), meta_error)


@asynccontextmanager
async def judging(lists: ProbedLists, elsewhere: Elsewhere) -> AsyncIterator[None]:
    """Within the block a list waits for its votes."""
    answer, elsewhere.judgement = elsewhere.judgement, None
    busy = asyncio.create_task(lists.judge(make_group("1"), (0,)))
    await asyncio.sleep(0)
    elsewhere.judgement = answer
    yield
    busy.cancel()
    await asyncio.wait([busy])


@pytest.mark.parametrize(
    ("judgement", "well"),
    [
        (judged(votes=1), True),
        (judged(UnparsedReason.NO_SCORES), True),
        (judged(UnparsedReason.TOO_LONG), True),
        (judged(UnparsedReason.ENGINE, votes=1), True),
        (judged(UnparsedReason.ENGINE), False),
        (judged(UnparsedReason.TIMEOUT), False),
    ],
)
async def test_lists_judged_elsewhere_tell_how_the_grm_is(judgement: ListJudgement, well: bool) -> None:
    elsewhere = Elsewhere(judgement)
    lists = ProbedLists(elsewhere, None)
    async with judging(lists, elsewhere):
        await lists.judge(make_group("1"), (0,))
        assert await lists.problem() == ""
    assert bool(elsewhere.probes) is not well, "who answers is not asked"


@pytest.mark.parametrize(("meta_error", "probes"), [("", 0), ("EngineError: gone", 1)])
async def test_lists_judged_elsewhere_tell_how_the_meta_rm_is(meta_error: str, probes: int) -> None:
    meta = Meta(0.5)
    meta_rm = ProbedMetaRM(meta)
    elsewhere = Elsewhere(judged(votes=2, meta_error=meta_error))
    lists = ProbedLists(elsewhere, meta_rm)
    async with judging(lists, elsewhere):
        await lists.judge(make_group("1"), (0,))
        assert await meta_rm.problem() == ""
    assert len(meta.asked) == probes


@pytest.mark.parametrize("probe", [EngineError("no replica answers"), []])
async def test_a_service_whose_replicas_do_not_answer_is_not_ready(probe: Any) -> None:
    elsewhere = Elsewhere(judged(votes=1), probe)
    config = make_config(sampling__k=8)
    service = RewardService(config, elsewhere)
    problem = await service.problem()
    assert "no replica answers" in problem if probe else "0 completions" in problem
    assert elsewhere.probes[0] == probe_sampling(config)


async def test_texts_travel_where_somebody_reads_them(tmp_path: Path) -> None:
    """A single sample's caller does not; the traces and the caller of whole groups do."""
    for traces in ({}, {"trace__path": str(tmp_path / "traces.db")}):
        elsewhere = Elsewhere(judged(votes=1))
        service = RewardService(make_config(**traces), elsewhere)
        await service.reward_sample(Sample((Message("user", "?"),), "1"), 1)
        await service.judge_groups(ScoreRequest(groups=[WireGroup(prompt="?", responses=["1"])]))
        assert [wanted.texts for wanted in elsewhere.wanted] == [bool(traces), True]
        await service.close()
