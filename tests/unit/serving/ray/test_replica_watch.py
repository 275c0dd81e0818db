"""What a caller knows about the replicas of a model, and which of them it chooses."""

from __future__ import annotations

import pytest

from grm_plugin.serving.ray.replica_watch import (
    ENOUGH_ANSWERS,
    FIRST_SUSPENSION_S,
    LONGEST_SUSPENSION_S,
    PATIENCE_S,
    SHORTEST_PATIENCE_S,
    STALLED_S,
    Attempt,
    ReplicaWatch,
)
from support.clock import Clock

REPLICAS = ["a", "b"]
PLACES = 8


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> ReplicaWatch:
    watch = ReplicaWatch(clock)
    watch.set_replicas(REPLICAS)
    return watch


def send_to(watch: ReplicaWatch, *avoid: str) -> Attempt:
    attempt = watch.begin(avoid)
    assert watch.choose(PLACES, attempt) == attempt.replica
    return attempt


async def test_places_are_taken_by_weight(watch: ReplicaWatch) -> None:
    """A list takes a place per order: short lists leave room for more of them."""
    heavy = [watch.begin(weight=6) for _ in range(2)]
    assert {watch.choose(PLACES, attempt) for attempt in heavy} == {"a", "b"}
    assert watch.choose(PLACES, watch.begin(weight=3)) is None
    light = watch.begin(weight=2)
    assert watch.choose(PLACES, light) in REPLICAS
    watch.end(heavy[0], True)
    assert watch.choose(PLACES, watch.begin(weight=5)) == heavy[0].replica


async def test_an_idle_replica_takes_what_is_heavier_than_its_places(watch: ReplicaWatch) -> None:
    large = [watch.begin(weight=100) for _ in range(3)]
    assert {watch.choose(PLACES, attempt) for attempt in large[:2]} == {"a", "b"}
    assert watch.choose(PLACES, large[2]) is None
    watch.end(large[0], None)
    watch.end(large[0], None)  # told twice: the weight is given back once
    assert watch.choose(PLACES, large[2]) == large[0].replica


async def test_work_goes_to_the_least_busy_replica_that_has_a_place(watch: ReplicaWatch) -> None:
    first, second = send_to(watch), send_to(watch)
    assert {first.replica, second.replica} == {"a", "b"}
    assert watch.choose(1, watch.begin()) is None
    watch.end(first, True)
    assert watch.choose(1, watch.begin()) == first.replica


async def test_a_replica_that_failed_a_request_does_not_get_it_again(watch: ReplicaWatch) -> None:
    assert [send_to(watch, "a").replica for _ in range(5)] == ["b"] * 5
    watch.set_replicas(["a"])
    assert watch.choose(PLACES, watch.begin({"a"})) == "a", "it is the only one"


async def test_a_frozen_replica_gets_nothing_until_it_answers_again(watch: ReplicaWatch, clock: Clock) -> None:
    clock.now += STALLED_S + 1
    watch.ping_answered("b")
    assert [send_to(watch).replica for _ in range(5)] == ["b"] * 5
    assert watch.alive == 1
    watch.ping_answered("a")
    assert send_to(watch).replica == "a"


async def test_a_replica_whose_process_has_ended_gets_nothing_from_then_on(watch: ReplicaWatch) -> None:
    attempt = send_to(watch, "b")
    watch.lost("a")
    assert [send_to(watch).replica for _ in range(5)] == ["b"] * 5
    watch.find_stuck()
    assert attempt.stuck.done()
    watch.ping_answered("a")
    assert send_to(watch).replica == "a"


async def test_where_all_are_frozen_work_waits(watch: ReplicaWatch, clock: Clock) -> None:
    clock.now += STALLED_S + 1
    assert watch.choose(PLACES, watch.begin()) is None


async def test_work_of_a_frozen_replica_is_stuck_where_another_could_do_it(watch: ReplicaWatch, clock: Clock) -> None:
    attempt = send_to(watch, "b")
    clock.now += STALLED_S + 1
    watch.find_stuck()
    assert not attempt.stuck.done(), "there is nobody else"
    watch.ping_answered("b")
    watch.find_stuck()
    assert attempt.stuck.done()


async def test_work_of_a_replica_that_was_taken_off_is_stuck(watch: ReplicaWatch) -> None:
    attempt = send_to(watch, "b")
    watch.set_replicas(["b"])
    watch.find_stuck()
    assert attempt.stuck.done()


async def test_failures_in_a_row_suspend_a_replica_for_longer_and_longer(watch: ReplicaWatch, clock: Clock) -> None:
    def end(good: bool) -> None:
        suspended = is_suspended()
        if suspended:  # then it gets a request only where there is no other
            watch.set_replicas(["a"])
        attempt = watch.begin({"b"})
        assert watch.choose(PLACES, attempt) == "a"
        watch.end(attempt, good)
        watch.set_replicas(REPLICAS)

    def is_suspended() -> bool:
        tried = [watch.begin({"b"}) for _ in range(4)]
        chosen = {watch.choose(PLACES, attempt) for attempt in tried}
        for attempt in tried:
            watch.end(attempt, None)
        return chosen == {"b"}

    def pass_time(seconds: float) -> None:
        clock.now += seconds
        for id in REPLICAS:
            watch.ping_answered(id)

    for good_one in (False, True, False):
        end(good_one)
    assert not is_suspended(), "a good answer between two failures"
    end(False)
    assert is_suspended()
    pass_time(FIRST_SUSPENSION_S)
    assert not is_suspended(), "the suspension is over"
    only_one = watch.begin({"b"})
    assert watch.choose(PLACES, only_one) == "a"
    assert is_suspended(), "with one request at a time"
    watch.end(only_one, None)
    end(False)
    pass_time(FIRST_SUSPENSION_S)
    assert is_suspended()
    for _ in range(10):
        end(False)
    pass_time(LONGEST_SUSPENSION_S - 1)
    assert is_suspended()
    pass_time(1)
    assert not is_suspended()
    end(True)
    end(False)
    assert not is_suspended(), "a good answer ends the count of failures"


async def test_a_replica_may_fail_for_ever(watch: ReplicaWatch) -> None:
    watch.set_replicas(["a"])
    for _ in range(1100):
        watch.end(send_to(watch), False)
    watch.set_replicas(REPLICAS)
    assert send_to(watch).replica == "b"


async def test_short_requests_say_nothing_about_long_ones(watch: ReplicaWatch) -> None:
    for _ in range(ENOUGH_ANSWERS):
        watch.end(send_to(watch), True, timed=False)
    assert watch.patience_s == PATIENCE_S


async def test_a_silent_replica_is_found_by_what_is_usual(watch: ReplicaWatch, clock: Clock) -> None:
    assert watch.patience_s == PATIENCE_S
    for _ in range(ENOUGH_ANSWERS):
        attempt = send_to(watch)
        clock.now += 0.5
        watch.end(attempt, True)
    assert watch.usual_s == pytest.approx(0.5)
    assert watch.patience_s == SHORTEST_PATIENCE_S
    stuck = send_to(watch, "b")
    working = send_to(watch, "a")
    for _ in range(8):
        clock.now += 1
        watch.ping_answered("a"), watch.ping_answered("b")
        watch.end(working, True)
        working = send_to(watch, "a")
        watch.find_stuck()
    assert stuck.stuck.done()
    assert not working.stuck.done()
    assert send_to(watch).replica == "b", "the silent one is suspended"
    watch.end(stuck, True)
    assert send_to(watch).replica == "a", "it has answered"


async def test_where_all_are_silent_nothing_is_sent_twice(watch: ReplicaWatch, clock: Clock) -> None:
    """Otherwise a burst of long requests to all replicas would double its own load."""
    attempts = [send_to(watch) for _ in range(8)]
    clock.now += PATIENCE_S + 1
    watch.ping_answered("a"), watch.ping_answered("b")
    watch.find_stuck()
    assert not any(attempt.stuck.done() for attempt in attempts)


async def test_slow_first_answers_are_waited_for(watch: ReplicaWatch, clock: Clock) -> None:
    """One replica has answered its first request: that does not make the other one, which has not, silent."""
    attempts = [send_to(watch) for _ in range(8)]
    first = next(attempt for attempt in attempts if attempt.replica == "a")
    clock.now += 2 * PATIENCE_S
    watch.ping_answered("a"), watch.ping_answered("b")
    watch.end(first, True)
    clock.now += 1
    watch.find_stuck()
    assert not any(attempt.stuck.done() for attempt in attempts if attempt is not first)


async def test_a_short_answer_does_not_make_the_other_replica_silent(watch: ReplicaWatch, clock: Clock) -> None:
    working = send_to(watch, "a"), send_to(watch, "b")
    clock.now += PATIENCE_S + 1
    watch.ping_answered("a"), watch.ping_answered("b")
    watch.end(send_to(watch), True, timed=False)
    watch.find_stuck()
    assert not any(attempt.stuck.done() for attempt in working)


async def test_nothing_is_kept_of_what_is_over(watch: ReplicaWatch) -> None:
    for _ in range(1000):
        watch.end(send_to(watch), True)
    assert not watch.busy
    assert not any(replica.attempts for replica in watch._replicas.values())
    assert not watch._attempts
