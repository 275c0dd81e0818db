"""What `grm-plugin score` does with one group of its input."""

from __future__ import annotations

from grm_plugin.batch.engine_failures import failure_of
from grm_plugin.batch.group_judges import JudgeGroup
from grm_plugin.batch.run import EngineFailed
from grm_plugin.errors import GroupError, WireError
from grm_plugin.score.results import ScoredTask
from grm_plugin.score.tasks import Task
from grm_plugin.wire.schemas import WireJudgement

UNANSWERED = "groups in a row without a vote"


async def judge_task(judge: JudgeGroup, task: Task) -> ScoredTask | EngineFailed:
    """Judge one group.

    A critique that cannot be read is an answer: the group has a result, with what `failure.policy` says.

    Raises:
        GroupError, WireError: the group cannot be judged; the message names its line.
    """
    try:
        judgement = await judge(task.group)
    except (GroupError, WireError) as error:
        raise type(error)(f"line {task.line}: {error}") from None
    reason = _failure(judgement)
    return EngineFailed(reason) if reason else ScoredTask(task, judgement)


def _failure(judgement: WireJudgement) -> str:
    """Why a reward of the group is missing, if the engine is to blame; else an empty string."""
    if all(reward.status != "no_votes" for reward in judgement.rewards):
        return ""
    if not judgement.unparsed:
        return "the judge was late (failure.deadline_s)"
    return failure_of(judgement.unparsed)
