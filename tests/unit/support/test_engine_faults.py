"""Injected faults: the fake engines misbehave as the files in a folder say."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.config.loading import load_config
from grm_plugin.engines import fake
from grm_plugin.engines.build import build_generator, build_meta_rm
from grm_plugin.errors import EngineError
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Group, Message, Prompt, Sampling
from support.engine_faults import Faults, environment, faulty_engine, faulty_meta_rm

PROMPT = Prompt((Message("user", "Name three colours."),), (0,))
SAMPLING = Sampling(n=2, temperature=0.5, top_p=1.0, max_tokens=64)
CRITIQUES = [(Message("user", "?"), Message("assistant", text)) for text in ("short", "rather long")]
CONFIG = load_config({"engine": {"type": "fake"}, "meta_rm": {"type": "fake"}})
assert CONFIG.meta_rm is not None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that this process's fake engines obey."""
    monkeypatch.setattr(fake, "FakeEngine", faulty_engine(tmp_path))
    monkeypatch.setattr(fake, "FakeMetaRM", faulty_meta_rm(tmp_path))
    return tmp_path


async def answers() -> tuple[Any, Any]:
    return (
        await build_generator(CONFIG.engine).generate(PROMPT, SAMPLING),
        await build_meta_rm(CONFIG.meta_rm).rate(CRITIQUES),
    )


async def test_without_a_file_or_with_an_empty_one_all_is_well(folder: Path) -> None:
    well = await answers()
    assert [type(item) for item in well[0]] == [Completion] * 2
    assert well[1] == sorted(well[1])
    (folder / "all").touch()
    assert await answers() == well


@pytest.mark.parametrize(("fault", "length"), [("empty", 0), ("few", 1), ("many", 3), ("garbage", 2), ("nan", 2)])
async def test_wrong_answers(folder: Path, fault: str, length: int) -> None:
    well = await answers()
    (folder / str(os.getpid())).write_text(fault)
    completions, logits = await answers()
    assert len(completions) == len(logits) == length
    assert (completions, logits) != well
    if fault == "nan":
        assert all(map(math.isnan, logits))


async def test_a_process_has_faults_of_its_own(folder: Path) -> None:
    (folder / "all").write_text("raise")
    with pytest.raises(EngineError, match="injected"):
        await answers()
    (folder / str(os.getpid())).write_text("slow 0.01")
    await answers()


async def test_hanging_and_sick(folder: Path) -> None:
    (folder / "all").write_text("hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await answers()
    faults = Faults(folder)
    faults.check_health()
    (folder / "all").write_text("sick")
    with pytest.raises(EngineError, match="injected"):
        faults.check_health()


@pytest.mark.parametrize("fault", ["empty", "few", "many", "garbage", "nan", "raise", "unparsable"])
async def test_whatever_the_engines_answer_a_reward_is_right_or_missing(folder: Path, fault: str) -> None:
    judge = Judge(CONFIG, build_generator(CONFIG.engine), build_meta_rm(CONFIG.meta_rm))
    (folder / "all").write_text(fault)
    [judgement] = await judge.judge([Group(PROMPT.messages, ("one two three four five", "one"))], Deadline.after(5.0))
    assert [reward.value for reward in judgement.rewards] in ([None, None], [pytest.approx(1 / 9), 0.0])


RATE_NOTHING = """
import asyncio
from grm_plugin.config import FakeMetaRMConfig
from grm_plugin.engines.build import build_meta_rm
print(asyncio.run(build_meta_rm(FakeMetaRMConfig()).rate([])))
"""


def test_the_environment_reaches_other_processes(tmp_path: Path) -> None:
    def in_another_process() -> subprocess.CompletedProcess[str]:
        environ = os.environ | environment(tmp_path)
        return subprocess.run([sys.executable, "-c", RATE_NOTHING], env=environ, capture_output=True, text=True)

    assert in_another_process().stdout == "[]\n"
    (tmp_path / "all").write_text("raise")
    assert "EngineError: injected" in in_another_process().stderr
