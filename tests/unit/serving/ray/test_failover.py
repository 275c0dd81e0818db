"""Requests over several replicas: what fails, hangs or answers with garbage costs no vote."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.seams import check_completions, check_logits
from grm_plugin.serving.ray.failover import TRIES, Failover
from grm_plugin.serving.ray.replica_watch import (
    FAILURES,
    FIRST_OUT_S,
    KNOWN,
    LONGEST_OUT_S,
    PATIENCE_S,
    SHORTEST_PATIENCE_S,
    STALLED_S,
    Attempt,
    ReplicaWatch,
)
from grm_plugin.types import Completion
from support.factories import until

PLACES = {"a": 8, "b": 8}


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> ReplicaWatch:
    watch = ReplicaWatch(clock)
    watch.replicas(PLACES)
    return watch


def send_to(watch: ReplicaWatch, *avoid: str) -> Attempt:
    attempt = watch.begin(avoid)
    assert watch.choose(PLACES, attempt.id) == attempt.replica
    return attempt


class TestWatch:
    async def test_work_goes_to_the_least_busy_replica_that_has_a_place(self, watch: ReplicaWatch) -> None:
        first, second = send_to(watch), send_to(watch)
        assert {first.replica, second.replica} == {"a", "b"}
        assert watch.choose({"a": 1, "b": 1}, watch.begin().id) is None
        watch.end(first, True)
        assert watch.choose({"a": 1, "b": 1}, watch.begin().id) == first.replica

    async def test_a_replica_that_failed_a_request_does_not_get_it_again(self, watch: ReplicaWatch) -> None:
        assert [send_to(watch, "a").replica for _ in range(5)] == ["b"] * 5
        watch.replicas(["a"])
        assert watch.choose({"a": 8}, watch.begin({"a"}).id) == "a", "it is the only one"

    async def test_a_frozen_replica_gets_nothing_until_it_answers_again(
        self, watch: ReplicaWatch, clock: Clock
    ) -> None:
        clock.now += STALLED_S + 1
        watch.heard("b")
        assert [send_to(watch).replica for _ in range(5)] == ["b"] * 5
        assert not watch.is_alive("a")
        watch.heard("a")
        assert send_to(watch).replica == "a"

    async def test_where_all_are_frozen_work_waits(self, watch: ReplicaWatch, clock: Clock) -> None:
        clock.now += STALLED_S + 1
        assert watch.choose(PLACES, watch.begin().id) is None

    async def test_work_of_a_frozen_replica_is_stuck_where_another_could_do_it(
        self, watch: ReplicaWatch, clock: Clock
    ) -> None:
        attempt = send_to(watch, "b")
        clock.now += STALLED_S + 1
        watch.find_stuck()
        assert not attempt.stuck.done(), "there is nobody else"
        watch.heard("b")
        watch.find_stuck()
        assert attempt.stuck.done()

    async def test_work_of_a_replica_that_was_taken_off_is_stuck(self, watch: ReplicaWatch) -> None:
        attempt = send_to(watch, "b")
        watch.replicas(["b"])
        watch.find_stuck()
        assert attempt.stuck.done()

    async def test_failures_in_a_row_take_a_replica_out_for_longer_and_longer(
        self, watch: ReplicaWatch, clock: Clock
    ) -> None:
        def end(good: bool) -> None:
            attempt = watch.begin({"b"})
            watch.choose(PLACES if not is_out() else {"a": 8}, attempt.id)
            watch.end(attempt, good)

        def is_out() -> bool:
            return all(watch.choose(PLACES, None) == "b" for _ in range(40))

        def pass_time(seconds: float) -> None:
            clock.now += seconds
            for id in PLACES:
                watch.heard(id)

        for good_one in (False, True, False):
            end(good_one)
        assert not is_out(), "a good answer between two failures"
        end(False)
        assert is_out()
        pass_time(FIRST_OUT_S)
        assert not is_out(), "it gets another chance"
        only_one = watch.begin({"b"})
        assert watch.choose(PLACES, only_one.id) == "a"
        assert is_out(), "with one request at a time"
        watch.end(only_one, None)
        end(False)
        pass_time(FIRST_OUT_S)
        assert is_out()
        for _ in range(10):
            end(False)
        pass_time(LONGEST_OUT_S - 1)
        assert is_out()
        pass_time(1)
        assert not is_out()
        end(True)
        end(False)
        assert not is_out(), "all is forgiven"

    async def test_a_replica_may_fail_for_ever(self, watch: ReplicaWatch) -> None:
        watch.replicas(["a"])
        for _ in range(1100):
            watch.end(send_to(watch), False)
        watch.replicas(PLACES)
        assert send_to(watch).replica == "b"

    async def test_short_requests_say_nothing_about_long_ones(self, watch: ReplicaWatch) -> None:
        for _ in range(KNOWN):
            watch.end(send_to(watch), True, timed=False)
        assert watch.patience_s == PATIENCE_S

    async def test_a_silent_replica_is_found_by_what_is_usual(self, watch: ReplicaWatch, clock: Clock) -> None:
        assert watch.patience_s == PATIENCE_S
        for _ in range(KNOWN):
            attempt = send_to(watch)
            clock.now += 0.5
            watch.end(attempt, True)
        assert watch.usual_s == pytest.approx(0.5)
        assert watch.patience_s == SHORTEST_PATIENCE_S
        stuck = send_to(watch, "b")
        working = send_to(watch, "a")
        for _ in range(8):
            clock.now += 1
            watch.heard("a"), watch.heard("b")
            watch.end(working, True)
            working = send_to(watch, "a")
            watch.find_stuck()
        assert stuck.stuck.done()
        assert not working.stuck.done()
        assert send_to(watch).replica == "b", "the silent one is out"
        watch.end(stuck, True)
        assert send_to(watch).replica == "a", "it has answered"

    async def test_where_all_are_silent_nothing_is_sent_twice(self, watch: ReplicaWatch, clock: Clock) -> None:
        """A burst of long work on all replicas at once must not double itself."""
        attempts = [send_to(watch) for _ in range(8)]
        clock.now += PATIENCE_S + 1
        watch.heard("a"), watch.heard("b")
        watch.find_stuck()
        assert not any(attempt.stuck.done() for attempt in attempts)

    async def test_slow_first_answers_are_waited_for(self, watch: ReplicaWatch, clock: Clock) -> None:
        """That one replica has answered the first of its requests is no reason to give it those of the other."""
        attempts = [send_to(watch) for _ in range(8)]
        first = next(attempt for attempt in attempts if attempt.replica == "a")
        clock.now += 2 * PATIENCE_S
        watch.heard("a"), watch.heard("b")
        watch.end(first, True)
        clock.now += 1
        watch.find_stuck()
        assert not any(attempt.stuck.done() for attempt in attempts if attempt is not first)

    async def test_a_short_answer_does_not_make_the_other_replica_silent(
        self, watch: ReplicaWatch, clock: Clock
    ) -> None:
        working = send_to(watch, "a"), send_to(watch, "b")
        clock.now += PATIENCE_S + 1
        watch.heard("a"), watch.heard("b")
        watch.end(send_to(watch), True, timed=False)
        watch.find_stuck()
        assert not any(attempt.stuck.done() for attempt in working)

    async def test_nothing_is_kept_of_what_is_over(self, watch: ReplicaWatch) -> None:
        for _ in range(1000):
            watch.end(send_to(watch), True)
        assert not watch.busy
        assert not any(replica.attempts for replica in watch._replicas.values())
        assert not watch._attempts


class Replicas:
    """What each replica does with a request; `asked` is who got one."""

    def __init__(self, watch: ReplicaWatch, **behaviour: Callable[[], Any]) -> None:
        self._watch = watch
        self._behaviour = behaviour
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        watch.replicas(behaviour)

    async def send(self, attempt: int) -> Any:
        replica = self._watch.choose(dict.fromkeys(self._behaviour, 8), attempt)
        assert replica is not None
        self.asked.append(replica)
        try:
            answer = self._behaviour[replica]()
            return await answer if asyncio.iscoroutine(answer) else answer
        except asyncio.CancelledError:
            self.cancelled.append(replica)
            raise


def accept(answer: Any) -> None:
    if answer != "good":
        raise EngineError(f"garbage: {answer}")


def good() -> str:
    return "good"


def fail() -> str:
    raise EngineError("died")


async def hang() -> str:
    await asyncio.sleep(3600)
    return "late"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.serving.ray.failover.LOOK_S", 0.01)


class TestFailover:
    @pytest.mark.parametrize("bad", [fail, lambda: "bad", lambda: None], ids=["died", "garbage", "nothing"])
    async def test_a_bad_replica_costs_nothing(self, bad: Callable[[], Any]) -> None:
        watch = ReplicaWatch()
        replicas = Replicas(watch, a=bad, b=bad, c=good)
        failover = Failover(watch)
        for _ in range(20):
            assert await failover.call(replicas.send, accept) == "good"
        assert replicas.asked.count("a") <= FAILURES, "it was taken out"
        assert not watch.busy

    async def test_tries_are_bounded_and_the_last_error_is_told(self) -> None:
        watch = ReplicaWatch()
        replicas = Replicas(watch, a=fail, b=fail)
        with pytest.raises(EngineError, match="died"):
            await Failover(watch).call(replicas.send, accept)
        assert len(replicas.asked) == TRIES
        assert not watch.busy

    async def test_near_the_deadline_nothing_is_tried_again(self) -> None:
        clock = Clock()
        watch = ReplicaWatch(clock)
        replicas = Replicas(watch, a=good, b=good)
        for _ in range(4):
            attempt = watch.begin()
            watch.choose({"a": 8}, attempt.id)
            clock.now += 3
            watch.end(attempt, True)
        watch.heard("a"), watch.heard("b")
        replicas._behaviour |= {"a": fail, "b": fail}
        with working_until(Deadline.after(2.0)), pytest.raises(EngineError, match="died"):
            await Failover(watch).call(replicas.send, accept)
        assert len(replicas.asked) == 1, "an answer takes 3 s, and 2 s are left"

    async def test_a_deadline_that_comes_near_after_a_retry_was_decided_on_does_not_lose_it(self) -> None:
        class Slowing(ReplicaWatch):
            """Answers take no time when asked first, and ever longer then."""

            asked = 0

            @property
            def usual_s(self) -> float:
                self.asked += 1
                return 0.0 if self.asked == 1 else 1e6

        watch = Slowing()
        replicas = Replicas(watch, a=fail, b=fail)
        with working_until(Deadline.after(60.0)), pytest.raises(EngineError, match="died"):
            await Failover(watch).call(replicas.send, accept)
        assert len(replicas.asked) == 2

    async def test_a_prompt_that_is_too_long_is_no_replicas_fault(self) -> None:
        def refuse() -> str:
            raise PromptTooLong("too long")

        watch = ReplicaWatch()
        replicas = Replicas(watch, a=refuse, b=refuse)
        for _ in range(2 * FAILURES):
            with pytest.raises(PromptTooLong):
                await Failover(watch).call(replicas.send, accept)
        assert len(replicas.asked) == 2 * FAILURES
        assert all(replica.out_until == 0 for replica in watch._replicas.values())

    async def test_a_prompt_that_is_too_long_says_nothing_about_the_time_of_others(self) -> None:
        def refuse() -> str:
            raise PromptTooLong("too long")

        watch = ReplicaWatch()
        replicas = Replicas(watch, a=refuse)
        for _ in range(KNOWN):
            with pytest.raises(PromptTooLong):
                await Failover(watch).call(replicas.send, accept)
        assert watch.patience_s == PATIENCE_S

    async def test_a_frozen_replicas_work_is_done_by_another(self, quick: None) -> None:
        clock = Clock()
        watch = ReplicaWatch(clock)
        replicas = Replicas(watch, a=hang)
        asking = asyncio.create_task(Failover(watch).call(replicas.send, accept))
        await asyncio.sleep(0.05)
        replicas._behaviour["b"] = good
        clock.now += STALLED_S + 1
        watch.replicas(["a", "b"])
        assert await asking == "good"
        assert replicas.asked == ["a", "b"]
        assert not watch.busy
        await asyncio.sleep(0)
        assert replicas.cancelled == ["a"]

    async def test_who_seemed_frozen_and_answers_first_wins(self, quick: None) -> None:
        clock = Clock()
        watch = ReplicaWatch(clock)
        awake = asyncio.Event()

        async def nap() -> str:
            await awake.wait()
            return "good"

        replicas = Replicas(watch, a=nap)
        asking = asyncio.create_task(Failover(watch).call(replicas.send, accept))
        await asyncio.sleep(0.05)
        replicas._behaviour["b"] = hang
        clock.now += STALLED_S + 1
        watch.replicas(["a", "b"])
        await until(lambda: replicas.asked == ["a", "b"])
        awake.set()
        assert await asking == "good"
        await asyncio.sleep(0)
        assert replicas.cancelled == ["b"]

    async def test_a_caller_that_leaves_takes_its_tries_along(self) -> None:
        watch = ReplicaWatch()
        replicas = Replicas(watch, a=hang)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await Failover(watch).call(replicas.send, accept)
        await asyncio.sleep(0)
        assert replicas.cancelled == ["a"]
        assert not watch.busy


ONE = Completion("text", "stop", 3)


class TestAnswers:
    def test_good_ones(self) -> None:
        check_completions([ONE, ONE], n=2)
        check_logits([1.0, -2], n=2)
        check_logits([], n=0)

    @pytest.mark.parametrize(
        "answer",
        [None, [], [ONE], [ONE] * 3, (ONE, ONE), "ab", [ONE, "b"], [ONE, None], [ONE, Completion(None)]],  # type: ignore[arg-type]
    )
    def test_no_completions(self, answer: Any) -> None:
        with pytest.raises(EngineError, match=r"the GRM (answered|must answer) with"):
            partial(check_completions, n=2)(answer)

    @pytest.mark.parametrize(
        "answer", [None, [], [1.0], [1.0] * 3, "ab", [1.0, "b"], [1.0, None], [1.0, math.nan], [math.inf, 1.0]]
    )
    def test_no_logits(self, answer: Any) -> None:
        with pytest.raises(EngineError, match=r"the meta RM (answered|must answer) with"):
            check_logits(answer, n=2)
