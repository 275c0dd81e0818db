"""Faults on purpose: the fake engines do as they are told."""

from __future__ import annotations

import asyncio
import math
import os
from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.deadline import Deadline
from grm_plugin.config.loading import load_config
from grm_plugin.engines.build import build_generator, build_meta_rm
from grm_plugin.engines.faults import Faults
from grm_plugin.errors import EngineError
from grm_plugin.judging.judge import Judge
from grm_plugin.serving.http.alone import runs_alone
from grm_plugin.types import Completion, Group, Message, Prompt, Sampling

PROMPT = Prompt((Message("user", "Name three colours."),), (0,))
SAMPLING = Sampling(n=2, temperature=0.5, top_p=1.0, max_tokens=64)
CRITIQUES = [(Message("user", "?"), Message("assistant", text)) for text in ("short", "rather long")]


def config(faults: Path, **engine: Any) -> Any:
    return load_config(
        {
            "engine": {"type": "fake", "faults": str(faults), **engine},
            "meta_rm": {"type": "fake", "faults": str(faults)},
        }
    )


async def answers(faults: Path) -> tuple[Any, Any]:
    loaded = config(faults)
    assert loaded.meta_rm is not None
    return (
        await build_generator(loaded.engine).generate(PROMPT, SAMPLING),
        await build_meta_rm(loaded.meta_rm).rate(CRITIQUES),
    )


async def test_without_a_file_or_with_an_empty_one_all_is_well(tmp_path: Path) -> None:
    well = await answers(tmp_path)
    assert [type(item) for item in well[0]] == [Completion] * 2
    assert well[1] == sorted(well[1])
    (tmp_path / "all").touch()
    assert await answers(tmp_path) == well


@pytest.mark.parametrize(("fault", "length"), [("empty", 0), ("few", 1), ("many", 3), ("garbage", 2), ("nan", 2)])
async def test_wrong_answers(tmp_path: Path, fault: str, length: int) -> None:
    well = await answers(tmp_path)
    (tmp_path / str(os.getpid())).write_text(fault)
    completions, logits = await answers(tmp_path)
    assert len(completions) == len(logits) == length
    assert (completions, logits) != well
    if fault == "nan":
        assert all(map(math.isnan, logits))


async def test_a_process_has_faults_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "all").write_text("raise")
    with pytest.raises(EngineError, match="injected"):
        await answers(tmp_path)
    (tmp_path / str(os.getpid())).write_text("slow 0.01")
    await answers(tmp_path)


async def test_hanging_and_sick(tmp_path: Path) -> None:
    (tmp_path / "all").write_text("hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await answers(tmp_path)
    faults = Faults(str(tmp_path))
    faults.check_health()
    (tmp_path / "all").write_text("sick")
    with pytest.raises(EngineError, match="injected"):
        faults.check_health()


@pytest.mark.parametrize("fault", ["empty", "few", "many", "garbage", "nan", "raise", "unparsable"])
async def test_whatever_the_engines_answer_a_reward_is_right_or_missing(tmp_path: Path, fault: str) -> None:
    loaded = config(tmp_path)
    judge = Judge(loaded, build_generator(loaded.engine), build_meta_rm(loaded.meta_rm))
    (tmp_path / "all").write_text(fault)
    [judgement] = await judge.judge([Group(PROMPT.messages, ("one two three four five", "one"))], Deadline.after(5.0))
    assert [reward.value for reward in judgement.rewards] in ([None, None], [pytest.approx(1 / 9), 0.0])


def test_replicas_need_ray(tmp_path: Path) -> None:
    assert runs_alone(config(tmp_path))
    assert not runs_alone(config(tmp_path, replicas=2))
