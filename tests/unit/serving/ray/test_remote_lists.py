"""Lists over several replicas: what one loses another one judges, and few lists are spread over idle replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin.engines.fake import FakeEngine, score_by_vocabulary
from grm_plugin.errors import EngineError, PromptError, PromptTooLong
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.seams import Generator, Wanted
from grm_plugin.serving.probing import PROBE
from grm_plugin.serving.ray.failover import TRIES, Failover
from grm_plugin.serving.ray.remote_lists import RemoteLists
from grm_plugin.serving.ray.replica_watch import Attempt, ReplicaWatch
from grm_plugin.types import Completion, Group, ListJudgement, Prompt, Sampling, UnparsedReason
from support.factories import (
    Scripted,
    by_number,
    completions,
    judge_one,
    make_config,
    make_group,
    never,
    responses_shown,
    scoring,
)

CONFIG = make_config(sampling__k=8, sampling__seed=3)
FOUR = make_group("one", "two words", "three more words", "these are four words")
ALL = (0, 1, 2, 3)


class Pool:
    """Replicas with a judge each, as a `ReplicaPool` calls them. `asked` is which replica judged what."""

    def __init__(self, *generators: Generator, config: Any = CONFIG) -> None:
        self.judges = {f"r{number}": ListJudge(config, generator) for number, generator in enumerate(generators)}
        self.watch = ReplicaWatch()
        self.watch.set_replicas(self.judges)
        self.asked: list[tuple[str, Wanted]] = []
        self.weights: list[int] = []
        self.lists = RemoteLists(config, self)  # type: ignore[arg-type]
        self.alter: Callable[[str, ListJudgement], Any] = lambda replica, answer: answer
        self._failover = Failover(self.watch)

    async def call(
        self, method: str, arguments: Any, check: Any, timed: bool = True, not_by: str = "", weight: int = 1
    ) -> Any:
        self.weights.append(weight)
        return await self._failover.call(
            lambda attempt: self._send(attempt, method, *arguments()), check, timed, not_by, weight
        )

    async def _send(self, attempt: Attempt, method: str, *arguments: Any) -> Any:
        replica = self.watch.choose(64, attempt)
        assert replica is not None
        return await getattr(self, method)(replica, *arguments)

    async def judge(self, replica: str, group: Group, wanted: Wanted, left_s: float | None) -> Any:
        self.asked.append((replica, wanted))
        members = tuple(range(len(group.responses)))
        judge = self.judges[replica]
        judged = await judge.judge(group, members, Deadline.after(left_s), wanted)
        return self.alter(replica, replace(judged, judged_by=replica))

    async def probe(self, replica: str, sampling: Sampling) -> list[Completion]:
        return await self.judges[replica].generator.generate(PROBE, sampling)


def fake() -> FakeEngine:
    return FakeEngine(score_by_vocabulary)


def failing() -> Scripted:
    def fail(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        raise EngineError("CUDA error")

    return Scripted(fail)


async def judged(pool: Pool, deadline: Deadline = NEVER, wanted: Wanted | None = None) -> ListJudgement:
    return await pool.lists.judge(FOUR, ALL, deadline, wanted or Wanted())


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 9])
async def test_what_is_asked_does_not_depend_on_how_many_replicas_there_are(replicas: int) -> None:
    """Nor on which of them judge a list: one alone is spread over all, several at once are not."""
    in_process = await ListJudge(CONFIG, fake()).judge(FOUR, ALL)
    pool = Pool(*(fake() for _ in range(replicas)))
    assert await judged(pool) == in_process
    assert len({replica for replica, _ in pool.asked}) == min(replicas, 4), "of four orders"
    pool.asked.clear()
    assert await asyncio.gather(*(judged(pool) for _ in range(replicas))) == [in_process] * replicas
    assert [wanted.parts for _, wanted in pool.asked] == [1] * replicas


@pytest.mark.parametrize(("processes", "parts"), [(1, 4), (2, 2), (4, 1), (9, 1)])
async def test_other_processes_of_the_service_are_thought_to_have_lists_too(processes: int, parts: int) -> None:
    config = make_config(sampling__k=8, sampling__seed=3, service__replicas=processes)
    pool = Pool(*(fake() for _ in range(4)), config=config)
    assert await judged(pool) == await ListJudge(CONFIG, fake()).judge(FOUR, ALL)
    assert [wanted.parts for _, wanted in pool.asked] == [parts] * parts


async def test_a_list_takes_a_place_for_each_of_its_requests() -> None:
    """Places left empty by short lists would be replicas that wait."""
    pool = Pool(fake())
    for members in ((0, 1, 2, 3), (0, 2), (1,)):
        await pool.lists.judge(FOUR, members)
    assert pool.weights == [4, 2, 1]
    spread = Pool(fake(), fake())
    await spread.lists.judge(FOUR, ALL)
    assert spread.weights == [2, 2]


async def test_members_are_those_of_the_group() -> None:
    pool = Pool(fake(), fake())
    answer = await pool.lists.judge(FOUR, (3, 1))
    assert answer.members == (3, 1)
    expected = await ListJudge(CONFIG, fake()).judge(FOUR, (3, 1))
    assert answer == expected


async def test_all_parts_and_tries_of_a_list_are_one_draw() -> None:
    """Without `sampling.seed` too: otherwise parts would ask in the same orders, or in none of them."""
    config = make_config(sampling__k=8)
    pool = Pool(failing(), *(fake() for _ in range(3)), config=config)
    answer = await judged(pool)
    assert len({critique.order for critique in answer.critiques}) == 4
    assert sorted(critique.sample for critique in answer.critiques) == list(range(8))
    again = await judged(pool)
    assert {critique.order for critique in answer.critiques} != {critique.order for critique in again.critiques} or (
        [critique.order for critique in answer.critiques] != [critique.order for critique in again.critiques]
    )


async def test_rounds_are_not_spread() -> None:
    config = make_config(sampling__k=8, sampling__adaptive={})
    pool = Pool(*(fake() for _ in range(4)), config=config)
    await judged(pool)
    assert [wanted.parts for _, wanted in pool.asked] == [1]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "text",
        ListJudgement((0,), (None,), (), (), (0,)),
        lambda answer: replace(answer, critiques=(replace(answer.critiques[0], scores=(1, 2, 3, 40)),)),
        lambda answer: replace(answer, critiques=(replace(answer.critiques[0], scores=(1, float("nan"), 3, 4)),)),
    ],
    ids=["nothing", "text", "another list", "range", "nan"],
)
async def test_an_answer_that_is_no_judgement_is_asked_for_elsewhere(bad: Any) -> None:
    pool = Pool(fake(), fake(), fake())
    pool.alter = lambda replica, answer: answer if replica != "r0" else bad(answer) if callable(bad) else bad
    for _ in range(5):
        assert await judged(pool) == await ListJudge(CONFIG, fake()).judge(FOUR, ALL)
    assert "r0" in {replica for replica, _ in pool.asked}


async def test_votes_that_one_engine_loses_another_one_gives() -> None:
    def loses_an_order(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if prompt.order[0] == 0:
            raise EngineError("CUDA error")
        return score_by_vocabulary(prompt, sampling)  # type: ignore[return-value]

    for broken in (failing(), FakeEngine(loses_an_order)):
        pool = Pool(broken, fake())
        for _ in range(4):
            assert await judged(pool) == await ListJudge(CONFIG, fake()).judge(FOUR, ALL)


async def test_where_every_engine_loses_votes_the_others_count() -> None:
    def loses_an_order(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if prompt.order[0] == 0:
            raise EngineError("CUDA error")
        return completions(*[[5] * 4] * sampling.n)

    pool = Pool(Scripted(loses_an_order))
    answer = await judged(pool)
    assert len(pool.asked) == TRIES
    assert (len(answer.critiques), [lost.reason for lost in answer.unparsed]) == (6, [UnparsedReason.ENGINE] * 2)


async def test_an_engine_that_always_fails_costs_the_votes_and_says_why() -> None:
    answer = await judged(Pool(failing(), failing()))
    assert (answer.asked, answer.votes) == (8, (None,) * 4)
    assert {(lost.reason, lost.detail) for lost in answer.unparsed} == {
        (UnparsedReason.ENGINE, "EngineError: CUDA error")
    }


async def test_replicas_that_all_die_cost_the_votes() -> None:
    async def die(*_: Any) -> Any:
        raise EngineError("an engine replica died under a request")

    pool = Pool(fake(), fake())
    pool.judge = die  # type: ignore[method-assign]
    answer = await judged(pool, wanted=Wanted(k=3))
    assert [lost.reason for lost in answer.unparsed] == [UnparsedReason.ENGINE] * 3
    assert "died under a request" in answer.unparsed[0].detail


async def test_a_deadline_keeps_the_votes_that_are_in() -> None:
    async def half(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if prompt.order[0] < 2:
            return await never(prompt, sampling)
        return completions(*[[5] * 4] * sampling.n)

    async with asyncio.timeout(20):
        answer = await judged(Pool(Scripted(half)), Deadline.after(5.0))
    assert (len(answer.critiques), [lost.reason for lost in answer.unparsed]) == (4, [UnparsedReason.TIMEOUT] * 4)


async def test_a_replica_that_never_answers_costs_the_votes_at_the_deadline_and_no_more() -> None:
    async def hang(*_: Any) -> Any:
        await asyncio.Event().wait()

    pool = Pool(fake(), fake())
    pool.judge = hang  # type: ignore[method-assign]
    async with asyncio.timeout(20):
        answer = await judged(pool, Deadline.after(0.2))
    assert [lost.reason for lost in answer.unparsed] == [UnparsedReason.TIMEOUT] * 8
    assert not pool.watch.busy


async def test_responses_that_do_not_fit_are_cut_for_all_parts_alike() -> None:
    def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if len(prompt.messages[-1].content) > 4000:
            raise PromptTooLong("too long")
        return completions(*[[len(text) % 9 + 1 for text in responses_shown(prompt)]] * sampling.n)

    group = make_group("x" * 9000, "short")
    expected = await ListJudge(CONFIG, Scripted(reply)).judge(group, (0, 1))
    pool = Pool(Scripted(reply), Scripted(reply))
    assert await pool.lists.judge(group, (0, 1)) == expected
    assert expected.cut[0] > 0
    assert [wanted.parts for _, wanted in pool.asked] == [2, 2, 1]


async def test_a_template_that_cannot_be_rendered_is_nobodys_failure() -> None:
    async def refuse(*_: Any) -> Any:
        raise PromptError("template mine.txt: division by zero")

    pool = Pool(fake())
    pool.judge = refuse  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(PromptError, match="division by zero"):
            await judged(pool)


async def test_the_judge_takes_them_in_place_of_a_generator() -> None:
    pool = Pool(scoring(by_number), scoring(by_number))
    judgement = await judge_one(Judge(CONFIG, pool.lists), "3", "9", "6")
    assert [reward.mean for reward in judgement.rewards] == [3, 9, 6]


async def test_what_one_replica_cannot_write_readably_another_one_is_asked_for() -> None:
    """One that writes no scores costs no reward: the responses of its lists are judged once more elsewhere."""
    babbling = Scripted(lambda prompt, sampling: [Completion("and so on")] * sampling.n)
    pool = Pool(babbling, scoring(by_number), scoring(by_number))
    judge = Judge(CONFIG, pool.lists)
    groups = [make_group("3", "9", "6", "5", question=f"Question {number}") for number in range(20)]
    judgements = await judge.judge(groups)
    assert [[reward.mean for reward in judged.rewards] for judged in judgements] == [[3, 9, 6, 5]] * 20
    assert any(judged.lists[0].judged_by == "r0" for judged in judgements)


async def test_the_probe_is_answered_by_a_replica() -> None:
    pool = Pool(failing(), fake())
    one = Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=1)
    for _ in range(4):
        assert len(await pool.lists.probe(one)) == 1
