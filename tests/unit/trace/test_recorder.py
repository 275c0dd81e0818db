"""Traces are stored in the background: nothing that goes wrong with the store may fail, delay or change a reward."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.errors import StoreError
from grm_plugin.serving.service import RewardService
from grm_plugin.trace import recorder as recording
from grm_plugin.trace.filters import Filter
from grm_plugin.trace.recorder import Recorder, RecorderStatus
from grm_plugin.trace.store_reader import StoreReader
from grm_plugin.wire.schemas import ScoreRequest
from support.factories import by_number, make_config, scoring
from support.trace_factories import fill, judged

DEADLINE_S = 30.0


def record(path: Path, **config: Any) -> Recorder:
    return Recorder(TraceConfig(path=str(path), **config), FailureConfig(), "grm", "a/judge")


def wait_for(recorder: Recorder, condition: Callable[[RecorderStatus], bool]) -> RecorderStatus:
    give_up = time.monotonic() + DEADLINE_S
    while not condition(recorder.status):
        assert time.monotonic() < give_up, recorder.status
        time.sleep(0.01)
    return recorder.status


def count(path: Path) -> int:
    return StoreReader(path).count(Filter())


def test_what_is_offered_is_there_without_closing(tmp_path: Path) -> None:
    recorder = record(tmp_path / "deep" / "a.db")
    recorder.offer(judged("3"))
    wait_for(recorder, lambda status: status.written == 1)
    assert count(recorder.path) == 1
    recorder.close()


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    recorder = record(tmp_path / "a.db")
    judgement = judged("3")
    for _ in range(500):
        recorder.offer(judgement)
    recorder.close()
    assert recorder.status == RecorderStatus(recorder.path, written=500, dropped=0, waiting=0, problem="")
    assert count(recorder.path) == 500


def test_a_share_is_kept(tmp_path: Path) -> None:
    recorder = record(tmp_path / "a.db", sample=0.2)
    judgement = judged("3")
    for _ in range(1000):
        recorder.offer(judgement)
    recorder.close()
    assert 100 < count(recorder.path) < 320
    assert recorder.status.dropped == 0


@pytest.mark.parametrize(("limit", "value"), [("QUEUE_GROUPS", 10), ("QUEUE_CHARS", 1000)])
def test_a_full_queue_drops_and_the_store_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(recording, limit, value)
    recorder = record(tmp_path / "a.db")
    locker = sqlite3.connect(recorder.path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")  # the disk stands still
    judgement = judged("3 " + "x" * 50)
    for _ in range(200):
        recorder.offer(judgement)
    dropped = recorder.status.dropped
    assert dropped > 100
    locker.execute("COMMIT")
    wait_for(recorder, lambda status: status.written == 200 - status.dropped)
    recorder.close()
    gaps = StoreReader(recorder.path).gaps()
    assert sum(gap.dropped for gap in gaps) == recorder.status.dropped  # a row for each commit meanwhile
    assert {gap.reason for gap in gaps} == {recording.FULL}


def test_a_text_of_ten_megabytes(tmp_path: Path) -> None:
    recorder = record(tmp_path / "a.db")
    huge = judged("5 " + "lorem " * 1_700_000, judge__max_response_chars=20_000_000)
    recorder.offer(huge)
    recorder.close()
    trace = StoreReader(recorder.path).trace(1)
    assert trace is not None
    assert trace.judgement.group.responses == huge.group.responses


def test_two_services_share_a_store(tmp_path: Path) -> None:
    recorders = [record(tmp_path / "a.db") for _ in range(2)]
    judgement = judged("3")
    for _ in range(300):
        for recorder in recorders:
            recorder.offer(judgement)
    for recorder in recorders:
        recorder.close()
    assert [recorder.status.written for recorder in recorders] == [300, 300]
    assert count(tmp_path / "a.db") == 600


SCORE = ScoreRequest.model_validate({"groups": [{"prompt": "How many?", "responses": ["4", "10"]}]})


async def rewards(service: RewardService) -> list[float | None]:
    (judgement,) = (await service.judge_groups(SCORE)).judgements
    return [reward.value for reward in judgement.rewards]


def service_on(path: Path) -> RewardService:
    return RewardService(make_config(trace__path=str(path)), scoring(by_number))


async def test_a_damaged_store_turns_traces_off_and_rewards_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    path.write_text("this is no database")
    service = service_on(path)
    assert "no traces are kept" in caplog.text
    assert await rewards(service) == [pytest.approx(1 / 3), 1]
    assert service.traces is not None
    assert service.traces.status.dropped == 1
    assert "a.db" in service.traces.status.problem
    await service.close()
    assert path.read_text() == "this is no database"


def test_a_store_that_breaks_while_it_is_used(tmp_path: Path) -> None:
    path = fill(tmp_path / "a.db", [judged("3")] * 300)
    recorder = record(path, max_groups=10)  # the next write reads the oldest groups, to make room
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\x77" * (len(content) - 4096))
    recorder.offer(judged("3"))
    status = wait_for(recorder, lambda status: status.dropped == 1)
    assert "malformed" in status.problem
    assert "tracing is off" in status.problem
    recorder.offer(judged("3"))
    assert recorder.status.dropped == 2
    recorder.close()


@pytest.mark.parametrize("newer", [True, False])
def test_a_store_that_cannot_be_used_stops_the_start(tmp_path: Path, newer: bool) -> None:
    path = tmp_path / "a.db"
    if newer:
        with sqlite3.connect(fill(path, [judged("3")])) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        path.mkdir()
    with pytest.raises(StoreError, match=r"a\.db"):
        service_on(path)


def test_no_store_no_traces() -> None:
    assert RewardService(make_config(), scoring(by_number)).traces is None


JOB = """
import asyncio, sys, time
sys.path.insert(0, "tests")
from support.factories import by_number, make_config, scoring
from grm_plugin.wire.schemas import ScoreRequest
from grm_plugin.serving.service import RewardService

async def job():
    service = RewardService(make_config(trace__path=sys.argv[1]), scoring(by_number))
    for number in range(10_000):
        request = ScoreRequest.model_validate({"groups": [{"prompt": f"job{number}", "responses": ["4", "10"]}]})
        await service.judge_groups(request)
        print(number, time.time(), flush=True)
        await asyncio.sleep(0.02)

asyncio.run(job())
"""


def test_a_killed_process_loses_at_most_its_last_second(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    job = subprocess.Popen([sys.executable, "-c", JOB, str(path)], stdout=subprocess.PIPE, text=True)
    assert job.stdout is not None
    judged_at = [job.stdout.readline() for _ in range(120)]
    killed = time.time()
    job.send_signal(signal.SIGKILL)
    rest, _ = job.communicate(timeout=DEADLINE_S)
    assert job.returncode == -signal.SIGKILL
    times = [float(line.split()[1]) for line in (*judged_at, *rest.splitlines()) if len(line.split()) == 2]
    safe = sum(at < killed - 1.0 for at in times)
    assert safe > 20, "the job judged for well over a second"
    store = StoreReader(path)
    assert safe <= store.count(Filter()) <= len(times) + 1
    assert [row.id for row in store.page(Filter(text="job0"), 10)] == [1]
    store.close()
    recorder = record(path)  # and the next job goes on with the same store
    recorder.offer(judged("3"))
    recorder.close()
    assert recorder.status.written == 1


FULL_DISK = """
import asyncio, json, os, resource, sys, time
sys.path.insert(0, "tests")
from support.factories import by_number, make_config, scoring
from grm_plugin.wire.schemas import ScoreRequest
from grm_plugin.serving.service import RewardService

SCORE = ScoreRequest.model_validate({"groups": [{"prompt": "How many?", "responses": ["4", "10 " + "x" * 4000]}]})

async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)

async def job():
    service = RewardService(make_config(trace__path=sys.argv[1]), scoring(by_number))
    await service.judge_groups(SCORE)
    await until(lambda: service.traces.status.written == 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(sys.argv[1] + "-wal"), hard))
    reply = await service.judge_groups(SCORE)
    await until(lambda: service.traces.status.dropped == 1)
    problem = service.traces.status.problem
    metrics = service.metrics.exposition()[0].decode()
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await service.judge_groups(SCORE)
    await until(lambda: service.traces.status.written == 2)
    await service.close()
    print(json.dumps({
        "rewards": [reward.value for reward in reply.judgements[0].rewards], "problem": problem,
        "after": service.traces.status.problem, "metric": "grm_traces_dropped_total 1.0" in metrics,
    }))

asyncio.run(job())
"""


def test_a_full_disk_costs_traces_and_says_so(tmp_path: Path) -> None:
    """The operating system refuses every write beyond the file's present size, as a full disk does."""
    path = tmp_path / "a.db"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=100, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rewards"] == [pytest.approx(1 / 3), 1]
    assert told["problem"]
    assert told["after"] == ""
    assert told["metric"]
    store = StoreReader(path)
    assert store.count(Filter()) == 2
    assert [gap.dropped for gap in store.gaps()] == [1]


def test_the_store_says_which_model_judged_which_groups(tmp_path: Path) -> None:
    for model in ("a/judge", "a/judge", "b/judge"):
        recorder = Recorder(TraceConfig(path=str(tmp_path / "a.db")), FailureConfig(), "grm", model)
        recorder.offer(judged("3"))
        recorder.close()
    spans = StoreReader(tmp_path / "a.db").models()
    assert [(span.first, span.service, span.model) for span in spans] == [(1, "grm", "a/judge"), (3, "grm", "b/judge")]


def test_a_store_from_before_models_were_noted_is_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    record(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE models")
    assert StoreReader(path).models() == []
    record(path).close()
    assert [span.model for span in StoreReader(path).models()] == ["a/judge"]
