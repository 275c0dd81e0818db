"""The loop of offline scoring: bounded concurrency, results as they come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from grm_plugin._util.concurrency import for_each
from grm_plugin.batch.engine_failures import FailuresInARow, failure_of
from grm_plugin.batch.group_judges import JudgeGroup
from grm_plugin.errors import GroupError, WireError
from grm_plugin.score.meter import ScoreMeter
from grm_plugin.score.results import Results
from grm_plugin.score.tasks import Task
from grm_plugin.wire.schemas import WireJudgement


@dataclass(slots=True)
class Run:
    """One run over a file.

    Groups for which the engine failed get no result, so that the next run tries them again. A critique that cannot be
    read is an answer: those groups have a result, with what `failure.policy` says.
    """

    judge: JudgeGroup
    results: Results
    meter: ScoreMeter
    concurrency: int
    last_failure: str = ""
    _failures: FailuresInARow = field(
        default_factory=lambda: FailuresInARow("groups in a row without a vote"), init=False
    )

    async def run(self, tasks: Iterable[Task]) -> None:
        """Score the tasks that have no result yet, at most `concurrency` at once, in any order.

        Raises:
            EngineError: nothing but failures for a while.
            GRMError: whatever else a group can fail with; results so far are kept.
        """
        missing = (task for task in tasks if task.id not in self.results.done)
        await for_each(missing, self._one, self.concurrency)

    async def _one(self, task: Task) -> None:
        try:
            judgement = await self.judge(task.group)
        except (GroupError, WireError) as error:
            raise type(error)(f"line {task.line}: {error}") from None
        failure = _failure(judgement)
        if failure:
            self.last_failure = failure
            self.meter.lose()
        else:
            self.results.write(task, judgement)
            self.meter.scored(judgement)
        self._failures.add(failure)


def _failure(judgement: WireJudgement) -> str:
    """Why a reward of the group is missing, if the engine is to blame; else an empty string."""
    if all(reward.status != "no_votes" for reward in judgement.rewards):
        return ""
    if not judgement.unparsed:
        return "the judge was late (failure.deadline_s)"
    return failure_of(judgement.unparsed)
