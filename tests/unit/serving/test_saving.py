"""The running statistics are saved whole, also when they change while they are being written."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from grm_plugin.judging.running_stats import RunningStats
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import ScoreRequest
from support.factories import by_number, make_config, scoring, until


class Disk:
    """Holds the first save of the statistics up until `go_on` is set, and counts the saves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began = threading.Event()
        self.go_on = threading.Event()
        self.written = 0
        self._save = RunningStats.save
        monkeypatch.setattr(RunningStats, "save", lambda stats, path: self._slowly(stats, path))

    def _slowly(self, stats: RunningStats, path: str | Path) -> None:
        if not self.began.is_set():
            self.began.set()
            assert self.go_on.wait(20)
        self._save(stats, path)
        self.written += 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr("grm_plugin.serving.state_saver.SAVE_PAUSE_S", 0.01)
    return Disk(monkeypatch)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.fixture
def service(path: Path) -> RewardService:
    normalize = {"method": "running", "state_path": str(path)}
    return RewardService(make_config(sampling__k=2, normalize=normalize), scoring(by_number))


async def learn(service: RewardService) -> None:
    await service.judge_groups(ScoreRequest.model_validate({"groups": [{"prompt": "Q", "responses": ["3"]}]}))


async def test_what_is_learnt_while_the_state_is_written_is_saved_too(
    service: RewardService, path: Path, disk: Disk
) -> None:
    await learn(service)
    await until(disk.began.is_set)
    await learn(service)
    disk.go_on.set()
    await until(lambda: RunningStats.load(path) == service.judge.normalizer.stats)
    assert RunningStats.load(path).count == 2


async def test_an_earlier_state_does_not_replace_the_last_one(
    service: RewardService, path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await learn(service)
    await until(disk.began.is_set)
    await learn(service)
    monkeypatch.setattr("grm_plugin.serving.state_saver.SAVE_PAUSE_S", 3600.0)  # no further save but that of `close`
    closing = asyncio.create_task(service.close())
    await asyncio.sleep(0.05)  # time enough for `close` to save, if it did not wait for the save under way
    disk.go_on.set()
    await closing
    await until(lambda: disk.written == 2)
    assert RunningStats.load(path).count == 2
