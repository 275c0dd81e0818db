"""The run of `grm-plugin score`: judges every group of a file that has no result yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from grm_plugin.batch.group_judges import JudgeGroup, failure_of_judgement
from grm_plugin.batch.resumable_run import EngineFailed, Run
from grm_plugin.errors import ConfigError, GroupError, WireError
from grm_plugin.score.input_groups import InputGroup, read_groups
from grm_plugin.score.results import JudgedGroup, Results
from grm_plugin.score.score_meter import ScoreMeter

FAILURES_NAMED = "groups in a row without a vote"

BAD_LINES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Rewarding:
    """What gives the rewards.

    Attributes:
        judging: opens what judges a group; not opened where every group has a result.
        fingerprint: digests of all that its rewards depend on, by part. Results of anything else are refused.
        history: whether a reward depends on the groups that were judged before it (`normalize.method` running).
    """

    judging: AbstractAsyncContextManager[JudgeGroup]
    fingerprint: Mapping[str, str]
    history: bool = False


def score_file(rewarding: Rewarding, file: Path, output: Path, concurrency: int, skip_bad: bool) -> int:
    """Judge the groups of `file` that have no result in `output`, and say on stderr how far it got.

    Args:
        rewarding: what gives the rewards.
        file: JSONL of groups. It is read twice, and checked as a whole before anything is judged.
        output: JSONL of judgements.
        concurrency: groups judged at once.
        skip_bad: leave bad lines out instead of refusing the file.

    Returns:
        The exit status of the command.

    Raises:
        ConfigError: a file cannot be read or written, or `output` is in use, holds something else, or results that were
            made with something else or of other groups with the same ids, or of a run that cannot go on.
        GroupError, WireError: a line is wrong, or its group cannot be judged; the message names the line.
    """
    console = Console(stderr=True)
    bad: list[str] = []
    digests = {group.id: group.digest for group in read_groups(file, bad.append if skip_bad else None)}
    for message in bad[:BAD_LINES_SHOWN]:
        console.print(f"left out: {message}", soft_wrap=True, markup=False, highlight=False)
    with Results(output, rewarding.fingerprint) as results:
        results.require_same_groups(digests.items())
        meter = ScoreMeter(console, len(digests), sum(name in results.done for name in digests))
        for note in _notes(rewarding, results, meter):
            console.print(f"warning: {note}", soft_wrap=True, markup=False, highlight=False)
        run: Run[InputGroup, JudgedGroup] = Run(results, meter, concurrency, FAILURES_NAMED)
        ended = run.carry_out(partial(_judge_all, rewarding.judging, run, file))
    summary = f"{output}: {meter.summary}"
    if bad:
        summary += f"; {len(bad):,} bad lines left out"
    if ended.missing:
        summary += f"; {ended.missing:,} groups have no result: {ended.reason}. The same command tries them again"
    console.print(summary, soft_wrap=True, markup=False, highlight=False)
    return ended.status


def _notes(rewarding: Rewarding, results: Results, meter: ScoreMeter) -> Iterator[str]:
    """What is to be said before groups are judged.

    Raises:
        ConfigError: a stopped run would go on with other statistics than it had.
    """
    if results.unmarked:
        yield (
            f"{results.unmarked:,} results in {results.path} are of an earlier version, which did not write down what "
            "they were made with: they are taken as they are. If it was something else, give another --output"
        )
    if rewarding.history and meter.missing:
        if results.done:
            raise ConfigError(
                f"normalize.method running: a reward depends on all groups before it, and the statistics of the run "
                f"that began {results.path} are gone: give another --output, or take another method"
            )
        yield (
            "normalize.method running: a reward depends on the groups that were judged before it, here in the order in "
            "which they happen to end; unit, none, group and rank give the same rewards every time"
        )


async def _judge_all(
    judging: AbstractAsyncContextManager[JudgeGroup], run: Run[InputGroup, JudgedGroup], file: Path
) -> None:
    async with judging as judge:
        await run.process(read_groups(file, lambda _: None), partial(judge_one, judge))


async def judge_one(judge: JudgeGroup, item: InputGroup) -> JudgedGroup | EngineFailed:
    """Judge one group.

    A critique that cannot be read is an answer: its group has a result, in which `failure.policy` fills the missing
    rewards.

    Raises:
        GroupError, WireError: the group cannot be judged; the message names its line.
    """
    try:
        judgement = await judge(item.group)
    except (GroupError, WireError) as error:
        raise type(error)(f"line {item.line}: {error}") from None
    reason = failure_of_judgement(judgement)
    return EngineFailed(reason) if reason else JudgedGroup(item, judgement)
