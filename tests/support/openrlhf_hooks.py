"""OpenRLHF's executors with our hooks in them, each loaded the way OpenRLHF loads it, and what its trainer needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grm_plugin.judging.fallback import CRITERION_KEY, LOG_KEYS

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


def http(url: str, n: int) -> Any:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    return SingleTurnAgentExecutor([f"{url}/get_reward?n={n}"])


def function(path: str) -> Any:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    return SingleTurnAgentExecutor([path])


def agent(path: str) -> Any:
    from openrlhf.trainer.ray.vllm_engine import _load_agent_executor

    return _load_agent_executor(path)


def check(experience: Any, n: int, fallback: float = 0.0, columns: Sequence[str] = ()) -> None:
    """What the trainer needs: n finite rewards, scores in [0, 1], the fixed set of logs."""
    assert experience.rewards.numel() == n
    assert bool(experience.rewards.isfinite().all())
    assert bool(((experience.scores >= 0) & (experience.scores <= 1)).all())
    assert set(LOG_KEYS) <= set(experience.info)
    keys = {*LOG_KEYS, *(CRITERION_KEY + name for name in columns)}
    assert {key for key in experience.info if key.startswith("grm_")} == keys
    for key in keys:
        assert experience.info[key].numel() == n
        assert bool(experience.info[key].isfinite().all())
    assert experience.info["grm_fallback"].flatten().tolist() == [fallback] * n
