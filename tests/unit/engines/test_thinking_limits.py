"""Budgets of thinking and the loop guard: what engines are asked, and that nothing is left out silently."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from grm_plugin.engines.build import check_engine_can
from grm_plugin.engines.openai import OpenAIEngine
from grm_plugin.errors import ConfigError, EngineError, EngineRefusal
from grm_plugin.judging.lists import ListJudge
from grm_plugin.serving.probing import probe_sampling
from grm_plugin.types import Message, Prompt, Sampling
from support.chat_server import Server, answer_n
from support.factories import Scripted, completions, make_config, make_group, responses_shown

PROMPT = Prompt((Message("user", "Which?"),), (0, 1))
SAMPLING = Sampling(2, 0.5, 1.0, 64, thinking_max=32, repetition=(64, 4))
QWEN = {"type": "vllm", "model": "a/b", "engine_args": {"reasoning_parser": "qwen3"}}
OPENAI = {"type": "openai", "model": "m", "base_url": "http://x/v1"}
FIELDS = {
    "thinking_token_budget": 32,
    "repetition_detection": {"max_pattern_size": 64, "min_pattern_size": 8, "min_count": 4},
}


@pytest.mark.parametrize(
    ("engine", "sampling", "says"),
    [
        ({**QWEN, "engine_args": {}}, {"max": 64}, r"thinking_tokens needs the marks.*engine_args\.reasoning_parser"),
        (OPENAI, {"min": 8}, r"thinking_tokens\.min holds back a token, which engine\.type openai cannot"),
        (QWEN, {"min": 9, "max": 8}, r"it is 8, and min is 9"),
        (QWEN, {"min": 2048}, r"thinking_tokens\.min 2048 leaves no token"),
    ],
    ids=["no marks", "no continuing", "more than most", "all of it"],
)
def test_a_budget_that_cannot_be_kept_is_refused(engine: dict[str, Any], sampling: dict[str, int], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_config(engine=engine, sampling={"thinking_tokens": sampling})


def test_a_vllm_that_lacks_the_parameter_is_refused_before_a_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    vllm = pytest.importorskip("vllm")
    budget = make_config(engine=QWEN, sampling={"thinking_tokens": {"max": 64}})
    circles = make_config(engine=QWEN, sampling={"repetition": {}})
    check_engine_can(budget)
    check_engine_can(circles)
    check_engine_can(make_config(engine=QWEN))

    class Older:
        """The parameters of an earlier version."""

        def __init__(self, n: int = 1, temperature: float = 1.0) -> None: ...

    monkeypatch.setattr(vllm, "SamplingParams", Older)
    assert "thinking_token_budget" not in inspect.signature(vllm.SamplingParams).parameters
    with pytest.raises(EngineError, match=r"sampling\.thinking_tokens: the installed vLLM does not know thinking_"):
        check_engine_can(budget)
    with pytest.raises(EngineError, match=r"sampling\.repetition: the installed vLLM does not know repetition_"):
        check_engine_can(circles)
    check_engine_can(make_config(engine=QWEN))


async def test_critiques_and_the_probe_are_asked_for_within_the_limits() -> None:
    grm = Scripted(lambda prompt, sampling: completions(*[[5, 7]] * sampling.n))
    config = make_config(
        sampling={"thinking_tokens": {"min": 3, "max": 32}, "repetition": {"pattern": 16, "times": 3}, "k": 2}
    )
    await ListJudge(config, grm).judge(make_group("a", "b"), (0, 1))
    for sampling in (*(asked for _, asked in grm.calls), probe_sampling(config)):
        assert (sampling.thinking_min, sampling.thinking_max, sampling.repetition) == (3, 32, (16, 3))
    await ListJudge(make_config(sampling__k=1), grm).judge(make_group("a", "b"), (0, 1))
    assert (grm.calls[-1][1].thinking_max, grm.calls[-1][1].repetition) == (None, None)


@pytest.mark.parametrize("mark", ["<think>", "</think>", "◁think▷", "[THINK]", "<mine>"])
async def test_no_response_can_spend_the_budget(mark: str) -> None:
    """vLLM counts from the last mark in the prompt, whoever has written it."""
    marks = {"reasoning_start_str": "<mine>", "reasoning_end_str": "That will do. </mine>"}
    config = make_config(
        engine={**QWEN, "engine_args": {"reasoning_config": marks}},
        sampling={"thinking_tokens": {"max": 64}, "k": 2},
    )
    grm = Scripted(lambda prompt, sampling: completions(*[[5, 7]] * sampling.n))
    group = make_group(f"It is 4. {mark}", "4", question=f"What is {mark} 2 + 2?", reference=f"4 {mark}")
    await ListJudge(config, grm).judge(group, (0, 1))
    for prompt, _ in grm.calls:
        assert mark not in prompt.messages[0].content
        assert f"It is 4. {mark[0]} {mark[1:]}" in responses_shown(prompt)
    assert make_config().judge.control_tokens == ()
    assert config.judge.control_tokens[-2:] == ("<mine>", "</mine>")


def knows(body: dict[str, Any]) -> bool:
    return body["thinking_token_budget"] >= -1 and body["repetition_detection"]["max_pattern_size"] >= 0


async def test_a_server_is_asked_at_the_top_of_the_request(server: Server, engine: OpenAIEngine) -> None:
    async def handler(body: dict[str, Any]) -> Any:
        return await answer_n(body) if knows(body) else JSONResponse({"error": {"message": "must be 0 or more"}}, 400)

    server.handler = handler
    for _ in range(2):
        assert len(await engine.generate(PROMPT, SAMPLING)) == 2
    asked = [body for body in server.requests if knows(body)]
    assert [{name: body[name] for name in FIELDS} for body in asked] == [FIELDS, FIELDS]
    assert len(server.requests) == 4, "whether the server knows each field is asked once"


async def test_a_server_that_ignores_a_limit_is_refused(server: Server, engine: OpenAIEngine) -> None:
    server.handler = answer_n
    with pytest.raises(EngineRefusal, match=r"ignores (thinking_token_budget|repetition_detection): leave sampling\."):
        await engine.generate(PROMPT, SAMPLING)


async def test_a_server_that_refuses_a_limit_is_not_asked_without_it(server: Server, engine: OpenAIEngine) -> None:
    async def handler(body: dict[str, Any]) -> Any:
        message = "thinking_token_budget is set but reasoning_config is not configured"
        return JSONResponse({"error": {"message": message, "type": "BadRequestError", "param": None}}, 400)

    server.handler = handler
    with pytest.raises(EngineRefusal, match=r"not configured; leave sampling\.thinking_tokens out"):
        await engine.generate(PROMPT, Sampling(2, 0.5, 1.0, 64, thinking_max=32))
    assert all("thinking_token_budget" in body for body in server.requests)
