"""What the probe of `grm-plugin plan` asks of an engine."""

from __future__ import annotations

import pytest

from grm_plugin.judging.judge import Judge
from grm_plugin.plan.probe import measure
from grm_plugin.types import Completion, Sampling
from support.cut_critiques import Cut
from support.factories import critique_text, judge_one, make_config, make_group


def answering() -> Cut:
    return Cut(reply=lambda sampling: [Completion(critique_text([7, 3]), tokens=20)] * sampling.n)


@pytest.mark.asyncio
async def test_critiques_have_the_limits_that_the_judge_gives_them() -> None:
    """Without them a GRM that thinks is measured on other lengths than it will write."""
    config = make_config(
        sampling__k=1,
        sampling__temperature=0.7,
        sampling__top_p=0.9,
        sampling__max_tokens=300,
        sampling__thinking_tokens={"min": 10, "max": 100},
        sampling__repetition={"pattern": 32, "times": 3},
        sampling__force_answer=True,
        engine__type="vllm",
        engine__model="a/b",
        engine__engine_args={"reasoning_parser": "qwen3"},
    )
    judged, probed = answering(), answering()
    await judge_one(Judge(config, judged), "red", "blue")
    found = await measure(probed, config, [make_group("red", "blue")], widest=4)
    [(_, wanted)] = judged.calls
    assert {sampling for _, sampling in probed.calls} == {wanted}
    assert (wanted.thinking_min, wanted.thinking_max, wanted.repetition, wanted.max_tokens) == (10, 100, (32, 3), 300)
    assert wanted.spare > 0
    assert set(found.lengths) == {20}


@pytest.mark.asyncio
async def test_without_limits_none_are_asked_for() -> None:
    probed = answering()
    await measure(probed, make_config(sampling__k=8), [make_group("red", "blue")], widest=1)
    options = make_config().sampling
    assert {sampling for _, sampling in probed.calls} == {
        Sampling(1, options.temperature, options.top_p, options.max_tokens)
    }
