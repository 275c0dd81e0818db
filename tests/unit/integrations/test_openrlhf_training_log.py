"""Reading OpenRLHF's log: lines as its trainer and Ray print them."""

from __future__ import annotations

import math

import pytest

from grm_plugin.integrations.openrlhf.training_log import parse_step

LINE = (
    "(PPOTrainer pid=5985) INFO 11-21 05:53:21 ppo_trainer.py:551] Global step 12: {'actor_lr': 0.000775, "
    "'reward': 0.25, 'vllm_kl': -3.7e-05, 'tokens': [1.0, 2.0], 'name': 'x', 'timing/step_total': 2}"
)


def test_a_step_line() -> None:
    step = parse_step(LINE)
    assert step is not None
    assert (step.number, step.reward, step.vllm_kl, step.seconds) == (12, 0.25, -3.7e-05, 2.0)
    assert step.values.keys() == {"actor_lr", "reward", "vllm_kl", "timing/step_total"}


def test_values_that_are_not_finite_are_kept() -> None:
    step = parse_step("Global step 1: {'vllm_kl': nan, 'kl': -inf}")
    assert step is not None
    assert math.isnan(step.values["vllm_kl"])
    assert step.values["kl"] == -math.inf
    assert math.isnan(step.reward)


@pytest.mark.parametrize("line", ["", "Global step 3", "Episode [1/1]: 25%", "Global step x: {'a': 1}"])
def test_other_lines_are_not_steps(line: str) -> None:
    assert parse_step(line) is None
