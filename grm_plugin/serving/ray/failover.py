"""Sends a request to another replica when one dies, freezes, stays silent or answers with garbage, so no vote is lost.

A request has at most `TRIES` tries, which share its deadline (`_util.deadline.current_deadline`). A try whose replica
seems stuck is not given up: it goes on beside the next one. The first good answer counts, the other try is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from grm_plugin._util.concurrency import let_go
from grm_plugin._util.deadline import current_deadline
from grm_plugin.errors import EngineError, EngineTimeout, GroupError, PromptError, PromptTooLong
from grm_plugin.serving.ray.replica_watch import Attempt, ReplicaWatch

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 4

LOOK_S = 0.5
"""Pause between two looks for attempts that are stuck."""

Send = Callable[[Attempt], Coroutine[Any, Any, T]]
"""Sends the request once. Raises `EngineError` for whatever goes wrong with its replica."""


class Failover:
    """Calls the replicas of one model, from one event loop.

    Args:
        watch: knows the replicas. It is asked which of them are stuck, and told how each attempt ended.
    """

    def __init__(self, watch: ReplicaWatch) -> None:
        self._watch = watch
        self._stuck_finder: asyncio.Task[None] | None = None

    async def call(
        self, send: Send[T], check: Callable[[T], None], timed: bool = True, not_by: str = "", weight: int = 1
    ) -> T:
        """The first answer that passes `check`.

        Args:
            send: sends the request to a replica.
            check: raises `EngineError` for an answer that is garbage.
            timed: whether the time of the answer says how long others take. False for a request that is much shorter.
            not_by: a replica that is to be avoided, as if it had failed the request.
            weight: how much of a replica's places the request takes.

        Raises:
            EngineError: of the last try, when no further try is allowed or the time does not suffice for one.
        """
        tries: dict[asyncio.Task[T], Attempt] = {}  # those under way
        failed = {not_by}  # replicas
        begun = 0

        def begin_try() -> None:
            nonlocal begun
            attempt = self._watch.begin(failed | {attempt.replica for attempt in tries.values()}, weight)
            tries[asyncio.create_task(send(attempt))] = attempt
            begun += 1
            self._find_stuck()

        try:
            begin_try()
            while True:
                if all(attempt.stuck.done() for attempt in tries.values()) and self._may_try_again(begun):
                    begin_try()
                events: list[asyncio.Future[Any]] = [*tries]
                events += [attempt.stuck for attempt in tries.values() if not attempt.stuck.done()]
                await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in tries if task.done()]:
                    attempt = tries.pop(task)
                    try:
                        return self._checked_answer(task, attempt, check, timed)
                    except PromptTooLong:  # it is too long for every replica
                        raise
                    except EngineError as error:
                        failed.add(attempt.replica)
                        if not tries and not self._may_try_again(begun):
                            raise
                        # Only the type is logged: the message may quote the prompt.
                        logger.warning("a replica failed a request (%s), trying another", type(error).__name__)
                        if not tries:
                            begin_try()
        finally:
            for task, attempt in tries.items():
                let_go(task)
                self._watch.end(attempt, None)

    def _checked_answer(self, task: asyncio.Task[T], attempt: Attempt, check: Callable[[T], None], timed: bool) -> T:
        """The answer of a try that has ended; tells the watch whether it was a good one."""
        good: bool | None = False
        try:
            if task.cancelled():  # not by `call`, which has forgotten the tries that it cancels
                raise EngineError("the replica cancelled the request by itself")
            answer = task.result()
            check(answer)
            good = True
            return answer
        except PromptTooLong:
            # The replica works: it has measured the prompt and refused it, without asking the model.
            good, timed = True, False
            raise
        except (PromptError, GroupError):  # its texts are wrong for every replica
            good = None
            raise
        except EngineTimeout:  # it was late, as the one that its model is busy for may be
            good = None
            raise
        finally:
            self._watch.end(attempt, good, timed)

    def _may_try_again(self, begun: int) -> bool:
        """Whether a try is allowed after `begun` ones, and can be expected to end before the deadline."""
        left_s = current_deadline().left_s
        return begun < TRIES and (left_s is None or left_s > self._watch.usual_s)

    def _find_stuck(self) -> None:
        """Have stuck attempts looked for in the background, until no attempt is under way."""
        if self._stuck_finder is None or self._stuck_finder.done():
            self._stuck_finder = asyncio.create_task(self._find_stuck_repeatedly())

    async def _find_stuck_repeatedly(self) -> None:
        while self._watch.busy:
            await asyncio.sleep(LOOK_S)
            self._watch.find_stuck()
