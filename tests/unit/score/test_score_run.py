"""The parts of offline scoring: the input, the output file, the loop, the progress bar."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

from grm_plugin.batch.engine_failures import FAILURES_IN_A_ROW
from grm_plugin.batch.group_judges import JudgeGroup
from grm_plugin.batch.resumable_run import Run
from grm_plugin.errors import ConfigError, EngineError, WireError
from grm_plugin.score.input_groups import InputGroup, read_groups
from grm_plugin.score.results import JudgedGroup, Results
from grm_plugin.score.score_meter import ScoreMeter
from grm_plugin.score.score_run import FAILURES_NAMED, judge_one
from grm_plugin.wire.schemas import WireGroup, WireJudgement, WireReward, WireUnparsed
from support.score_files import GOOD, numbered, read_rows, write_lines

MADE_WITH = {"engine": "e1", "normalize": "n1"}


def test_two_runs_do_not_share_an_output(tmp_path: Path) -> None:
    with Results(tmp_path / "out", MADE_WITH), pytest.raises(ConfigError, match="in use by another run"):
        Results(tmp_path / "out", MADE_WITH)
    Results(tmp_path / "out", MADE_WITH).close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.EWOULDBLOCK, "is in use by another run: wait for it"),
        (errno.ENOSYS, "cannot be locked: Function not implemented; give a file on a local disk"),
        (errno.ENOLCK, "cannot be locked: No locks available"),
    ],
)
def test_a_file_system_without_locks_is_told_from_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(ConfigError, match=message):
        Results(tmp_path / "out", MADE_WITH)


def test_a_full_disk_stops_the_run_and_keeps_what_is_there(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    judged = judgement()
    with Results(tmp_path / "out", MADE_WITH) as results:
        results.add(JudgedGroup(input_group(1), judged))
        whole = (tmp_path / "out").read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, hard))
        try:
            with pytest.raises(ConfigError, match="cannot be written: File too large; the same command goes on"):
                results.add(JudgedGroup(input_group(2), judged))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / "out").read_bytes() == whole
        results.add(JudgedGroup(input_group(3), judged))  # of a group in flight, when there is room again
    with Results(tmp_path / "out", MADE_WITH) as results:
        assert results.done == {1, 3}


async def test_concurrency_is_bounded_and_used(tmp_path: Path) -> None:
    running, most = 0, 0

    async def scorer(group: WireGroup) -> WireJudgement:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return judgement()

    with Results(tmp_path / "out", MADE_WITH) as results:
        await judge_all(scorer, results, meter(20), 3, map(input_group, range(20)))
        assert len(results.done) == 20
    assert most == 3


async def test_a_run_gives_up_on_an_engine_that_only_fails(tmp_path: Path) -> None:
    calls = 0

    async def scorer(group: WireGroup) -> WireJudgement:
        nonlocal calls
        calls += 1
        return judgement("no_votes", "engine")

    with (
        Results(tmp_path / "out", MADE_WITH) as results,
        pytest.raises(EngineError, match=r"in a row without a vote: engine: gone"),
    ):
        await judge_all(scorer, results, meter(500), 4, map(input_group, range(500)))
    assert FAILURES_IN_A_ROW <= calls < FAILURES_IN_A_ROW + 4
    assert (tmp_path / "out").read_bytes() == b""


async def test_unreadable_critiques_are_an_answer(tmp_path: Path) -> None:
    async def scorer(group: WireGroup) -> WireJudgement:
        return judgement("no_votes", "no_scores")

    shown = meter(1)
    with Results(tmp_path / "out", MADE_WITH) as results:
        await judge_all(scorer, results, shown, 4, [input_group(1)])
    assert read_rows(tmp_path / "out")[0]["rewards"][0]["value"] is None
    assert "1 votes unread; 1 rewards are fallbacks (value null)" in shown.summary


def test_ids_survive_edits_and_tell_equal_groups_apart(tmp_path: Path) -> None:
    first = [found.id for found in read_groups(write_lines(tmp_path / "a", GOOD, GOOD, numbered(1)[0]))]
    second = [found.id for found in read_groups(write_lines(tmp_path / "b", numbered(1)[0], "", GOOD, GOOD))]
    assert set(first) == set(second)
    assert len(set(first)) == 3


def test_an_id_is_what_it_was_before_groups_had_an_n(tmp_path: Path) -> None:
    """Outputs of earlier versions are gone on with."""
    group = {"prompt": "Two?", "responses": ["2"]}
    plain, with_n = read_groups(write_lines(tmp_path / "a", group, group | {"n": 4}))
    assert plain.id == "0012959ce92b0830" != with_n.id


def test_lines_may_hold_calls_of_tools_and_missing_references(tmp_path: Path) -> None:
    call = {"id": "c1", "function": {"name": "look", "arguments": "{}"}}
    messages = [{"role": "user", "content": "What?"}, {"role": "assistant", "tool_calls": [call]}]
    line = {"messages": messages, "responses": ["a", messages[1:]], "reference": float("nan"), "rubric": " "}
    [group] = [found.group for found in read_groups(write_lines(tmp_path / "in", line))]
    assert (group.messages, group.responses, group.reference, group.rubric) == (messages, line["responses"], None, None)
    with pytest.raises(WireError, match=r"line 1: messages\.0: a message has the role 'alien'"):
        list(read_groups(write_lines(tmp_path / "in", line | {"messages": [{"role": "alien", "content": "x"}]})))


def test_a_byte_order_mark_and_foreign_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n" + json.dumps(numbered(1)[0]).encode())
    assert [found.line for found in read_groups(file)] == [1, 2]


def test_a_terminal_sees_a_bar_with_rates_and_eta(tmp_path: Path) -> None:
    console = Console(force_terminal=True, width=120, file=(tmp_path / "screen").open("w"))
    with ScoreMeter(console, total=4, done_before=1) as shown:
        shown.count(JudgedGroup(input_group(1), judgement()))
    console.file.close()
    screen = (tmp_path / "screen").read_text()
    for part in ("2/4", "rewards/s", "tokens/s", "ETA"):
        assert part in screen


def meter(groups: int) -> ScoreMeter:
    return ScoreMeter(Console(quiet=True), groups, 0)


def input_group(number: int) -> InputGroup:
    return InputGroup(number, number, WireGroup(prompt="a", responses=["b"]))


def judgement(status: Literal["ok", "no_votes"] = "ok", reason: str | None = None) -> WireJudgement:
    voted = status == "ok"
    reward = WireReward(
        value=0.5 if voted else None,
        settled=0.5,
        unit=0.5,
        status=status,
        mean=5.5 if voted else None,
        total=5.5 if voted else None,
        spread=0.0 if voted else None,
        votes_asked=1,
        votes_parsed=int(voted),
        votes_kept=int(voted),
        meta=None,
        tokens=3.0,
        cut=0,
    )
    unparsed = [] if reason is None else [WireUnparsed(reason=reason, detail="gone", text="")]
    return WireJudgement(rewards=[reward], critiques=[], unparsed=unparsed, latency_s=0.0)


async def judge_all(
    judge: JudgeGroup, results: Results, shown: ScoreMeter, concurrency: int, groups: Iterable[InputGroup]
) -> None:
    run: Run[InputGroup, JudgedGroup] = Run(results, shown, concurrency, FAILURES_NAMED)
    await run.process(groups, partial(judge_one, judge))
