"""One request, several tries: a replica that dies, stalls, says nothing or answers with garbage costs no vote.

The tries share one budget, the deadline of the request (`_util.deadline`), and are bounded in number. A try whose
replica only seems stuck goes on beside the next one: whoever answers first wins, and the other is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from grm_plugin._util.deadline import current_deadline
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.serving.ray.replica_watch import Attempt, ReplicaWatch

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 4

LOOK_S = 0.5
"""Time between two looks for attempts that are stuck."""

Send = Callable[[int], Coroutine[Any, Any, T]]
"""Sends the request as the attempt of that id. Raises `EngineError` for whatever goes wrong."""


class Failover:
    """Calls to the replicas that `watch` watches, from one event loop."""

    def __init__(self, watch: ReplicaWatch) -> None:
        self._watch = watch
        self._looking: asyncio.Task[None] | None = None

    async def call(self, send: Send[T], check: Callable[[T], None], timed: bool = True) -> T:
        """The first answer that passes `check` (which raises `EngineError` for garbage).

        A request that is much shorter than others is not `timed`.

        Raises:
            EngineError: the last try's, when there is no further one or no time for it.
        """
        tries: dict[asyncio.Task[T], Attempt] = {}
        failed: set[str] = set()
        begun = 0
        try:
            while True:
                # Where no try is left the next one was decided on below: asked again, the clock might say otherwise.
                stuck = all(attempt.stuck.done() for attempt in tries.values())
                if not tries or (stuck and self._again(begun)):
                    attempt = self._watch.begin(failed | {attempt.replica for attempt in tries.values()})
                    tries[asyncio.create_task(send(attempt.id))] = attempt
                    begun += 1
                    self._look()
                events: list[asyncio.Future[Any]] = [*tries]
                events += [attempt.stuck for attempt in tries.values() if not attempt.stuck.done()]
                await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in tries if task.done()]:
                    attempt = tries.pop(task)
                    try:
                        return self._judge(task, attempt, check, timed)
                    except PromptTooLong:
                        raise
                    except EngineError as error:
                        failed.add(attempt.replica)
                        if not tries and not self._again(begun):
                            raise
                        # Its message may quote the prompt; the last try's is told, without what it quotes.
                        logger.warning("a replica failed a request (%s), trying another", type(error).__name__)
        finally:
            for task, attempt in tries.items():
                task.cancel()
                self._watch.end(attempt, None)

    def _judge(self, task: asyncio.Task[T], attempt: Attempt, check: Callable[[T], None], timed: bool) -> T:
        good: bool | None = False
        try:
            answer = task.result()
            check(answer)
            good = True
            return answer
        except PromptTooLong:  # a good answer, if a sad one
            good, timed = True, False  # the model was not asked
            raise
        finally:
            self._watch.end(attempt, good, timed)

    def _again(self, begun: int) -> bool:
        """Whether a further try is allowed, and can be expected to end in time."""
        left_s = current_deadline().left_s
        return begun < TRIES and (left_s is None or left_s > self._watch.usual_s)

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_stuck())

    async def _look_for_stuck(self) -> None:
        while self._watch.busy:
            await asyncio.sleep(LOOK_S)
            self._watch.find_stuck()
