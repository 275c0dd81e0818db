"""What the openai engine makes of refusals: another form of the request where there is one, else an error that helps.

The refusals are in the forms of the servers that people use, in words of our own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from fastapi.responses import JSONResponse

from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai import OpenAIEngine
from grm_plugin.errors import EngineError, PromptTooLong
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Message, Prompt, Sampling
from support.chat_server import Server, answer_n, answer_one, reply
from support.factories import critique_text, judge_one, make_config

PROMPT = Prompt((Message("user", "Name three colours; a seed, n = 3 and the temperature do not matter."),), (0,))
SAMPLING = Sampling(n=2, temperature=0.5, top_p=0.9, max_tokens=64, seed=7)
PARAMETERS = {"n", "temperature", "top_p", "max_tokens", "seed"}

Body = dict[str, Any]


def has(name: str) -> Callable[[Body], bool]:
    return lambda body: name in body


def several(body: Body) -> bool:
    return body.get("n", 1) > 1


def error(message: str, param: str | None = None, code: Any = None, kind: str = "invalid_request_error") -> Body:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Case(NamedTuple):
    """A server refuses what `refuses` is true of, with `status` and `says`; `then` is what the next request lacks."""

    refuses: Callable[[Body], bool]
    says: Any
    then: set[str]
    status: int = 400


NESTED = json.dumps(error("'seed' is an unknown parameter here"))

CASES = {
    # the number of completions
    "groq, n": Case(several, error("'n' : number must be at most 1"), set()),
    "deepseek, n": Case(several, error("Invalid value of n (at present n = 1 is what can be had)"), set()),
    "llama.cpp, n": Case(several, error("Just one completion choice is possible", None, 500), set(), 500),
    "llama.cpp as 400, n": Case(several, error("Only one completion choice is allowed"), set()),
    "vllm greedy, n": Case(several, error("n must be 1 when greedy sampling is used, got 2.", "n", 400), set()),
    "gemini, n": Case(several, [error("Multiple candidates is not enabled for this model", code=400)], set()),
    "gemini field, n": Case(several, error("generation_config.candidate_count: too many"), set()),
    "fastapi, n": Case(several, {"detail": [{"loc": ["body", "n"], "msg": "at most 1", "input": 2}]}, set(), 422),
    "plain text, n": Case(several, "the number of choices cannot be larger than 1", set()),
    "no such field, n": Case(has("n"), error("Unrecognized request argument supplied: n"), {"n"}),
    "both named, n": Case(several, error("best_of and n are not implemented"), set()),
    "sequences, n": Case(several, error("Sampling more than one sequence is unsupported"), set()),
    "transformers, n": Case(several, error("num_return_sequences is not supported"), set()),
    "greater, n": Case(several, error("n greater than 1 disallowed"), set()),
    "multi, n": Case(several, error("multi-completion requests are disabled"), set()),
    "outputs, n": Case(several, error("We do not generate multiple outputs"), set()),
    "chinese, n": Case(several, error("参数 n 不支持大于 1"), set()),
    "parallel, n": Case(several, error("parallel sampling unsupported"), set()),
    "json pointer, n": Case(has("n"), {"errors": [{"field": "/n", "message": "no such property"}]}, {"n"}),
    # max_tokens
    "openai, max_tokens": Case(
        has("max_tokens"),
        error(
            "Unsupported parameter: 'max_tokens' cannot be had with this model. Take 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        ),
        {"max_tokens"},
    ),
    "gateway, max_tokens": Case(
        has("max_tokens"), error("This model wants you to use max_completion_tokens, not max_tokens"), {"max_tokens"}
    ),
    "fastapi, max_tokens": Case(
        has("max_tokens"),
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": "Extra inputs"}]},
        {"max_tokens"},
        422,
    ),
    "obsolete, max_tokens": Case(has("max_tokens"), error("max_tokens is obsolete for this model"), {"max_tokens"}),
    "wanted one only, max_tokens": Case(has("max_tokens"), error("Use max_completion_tokens"), {"max_tokens"}),
    "rather, max_tokens": Case(
        has("max_tokens"), error("Please pass `max_completion_tokens` rather than `max_tokens`"), {"max_tokens"}
    ),
    "no property, max_tokens": Case(has("max_tokens"), error("Property 'max_tokens' does not exist"), {"max_tokens"}),
    # temperature
    "locked, temperature": Case(has("temperature"), error("temperature is locked to 1"), {"temperature"}),
    "always, temperature": Case(
        has("temperature"), error("This model always samples at temperature 1"), {"temperature"}
    ),
    "changed, temperature": Case(has("temperature"), error("temperature may not be changed here"), {"temperature"}),
    "configurable, temperature": Case(has("temperature"), error("temperature is not configurable"), {"temperature"}),
    "values, temperature": Case(has("temperature"), error("temperature 0.5: allowed values: [1]"), {"temperature"}),
    "openai, temperature": Case(
        has("temperature"),
        error(
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) will do.",
            "temperature",
            "unsupported_value",
        ),
        {"temperature"},
    ),
    "sentence, temperature": Case(
        has("temperature"), error("temperature may only be set to 1 with thinking"), {"temperature"}
    ),
    "must, temperature": Case(has("temperature"), {"message": "Temperature must be 1 for this model"}, {"temperature"}),
    "deprecated, temperature": Case(
        has("temperature"), error("`temperature` is deprecated for this model."), {"temperature"}
    ),
    # top_p
    "anthropic, both": Case(
        lambda body: {"temperature", "top_p"} <= body.keys(),
        {"type": "error", "error": {"message": "`temperature` and `top_p` cannot both be given. Use only one."}},
        {"top_p"},
    ),
    "litellm, top_p": Case(has("top_p"), error("x does not support parameters: ['top_p'], for model=y"), {"top_p"}),
    # seed
    "disabled, seed": Case(has("seed"), error("Deterministic sampling via seed is disabled"), {"seed"}),
    "azure, seed": Case(has("seed"), error("Unrecognized request argument supplied: seed"), {"seed"}),
    "gemini, seed": Case(
        has("seed"), [error('Invalid JSON payload received. Unknown name "seed": Cannot find field.')], {"seed"}
    ),
    "mistral, seed": Case(
        has("seed"),
        {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "input": 7}]}},
        {"seed"},
        422,
    ),
    "vllm text, seed": Case(
        has("seed"),
        error("[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'not permitted', 'input': 7}]", code=400),
        {"seed"},
    ),
    "bedrock, seed": Case(
        has("seed"), {"message": "Malformed input request: extraneous key [seed] is not permitted"}, {"seed"}
    ),
    "openrouter, seed": Case(
        has("seed"), {"error": {"message": "Provider error", "code": 400, "metadata": {"raw": NESTED}}}, {"seed"}
    ),
    "tgi, seed": Case(has("seed"), {"error": "`seed` is not supported", "error_type": "validation"}, {"seed"}, 422),
    "fastapi string, seed": Case(has("seed"), {"detail": "seed is not supported"}, {"seed"}),
}


def serve(server: Server, *cases: Case) -> None:
    async def handler(body: Body) -> Any:
        await asyncio.sleep(0.01)
        for case in cases:
            if case.refuses(body):
                return JSONResponse(case.says, case.status)
        return await answer_n({"n": 1} | body)

    server.handler = handler


def engine_of(address: str, **keys: Any) -> OpenAIEngine:
    return OpenAIEngine(OpenAIConfig(model="grm", base_url=address, max_concurrency=2, **keys))


@pytest.fixture(autouse=True)
def no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 0)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_what_can_be_met_is_met_once_and_remembered(
    engine: OpenAIEngine, server: Server, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    serve(server, case)
    assert len(await engine.generate(PROMPT, SAMPLING)) == 2
    refused = sum(case.refuses(body) for body in server.requests)
    assert refused == (2 if case.then == {"n"} else 1)
    assert PARAMETERS - server.requests[-1].keys() == case.then
    assert ("max_completion_tokens" in server.requests[-1]) is ("max_tokens" in case.then)
    changed = {"n", "seed"} if several(server.requests[0]) else set()
    for name in PARAMETERS - case.then - changed:
        assert server.requests[-1][name] == server.requests[0][name], "nothing else is changed"
    assert len(await engine.generate(PROMPT, SAMPLING)) == 2
    assert sum(case.refuses(body) for body in server.requests) == refused
    warnings = [record.message for record in caplog.records if record.name.startswith("grm_plugin")]
    assert len(warnings) == refused
    assert all("colours" not in warning for warning in warnings)


async def test_all_at_once(address: str, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """As a reasoning model of a hosted API takes them; and many requests find out at the same time."""
    names = ("groq, n", "openai, max_tokens", "openai, temperature", "litellm, top_p", "azure, seed")
    serve(server, *(CASES[name] for name in names))
    engine = engine_of(address)
    answers = await asyncio.gather(*(engine.generate(PROMPT, SAMPLING) for _ in range(8)))
    assert [len(answer) for answer in answers] == [2] * 8
    assert server.requests[-1].keys() == {"model", "messages", "n", "max_completion_tokens"}
    assert server.most_in_flight == 2, "max_concurrency"
    messages = [record.message for record in caplog.records if record.name.startswith("grm_plugin")]
    assert len(messages) == 5, "each is said once"
    assert any("sampling.temperature 0.5 is not applied" in message for message in messages)
    assert any("sampling.seed is not sent" in message for message in messages)


async def test_k_votes_of_a_server_that_gives_one_at_a_time(address: str, server: Server) -> None:
    async def one_at_a_time(body: Body) -> Any:
        if body["n"] > 1:
            return JSONResponse(CASES["groq, n"].says, 400)
        return reply(critique_text([8, 3]), tokens=5)

    server.handler = one_at_a_time
    judge = Judge(make_config(sampling__k=8), engine_of(address))
    for _ in range(2):
        judgement = await judge_one(judge, "one", "two")
        assert [(reward.votes_asked, reward.votes_kept) for reward in judgement.rewards] == [(8, 8)] * 2
    assert sum(several(body) for body in server.requests) <= 2, "one per order, both under way at the same time"


async def test_where_all_single_requests_fail_the_caller_is_told_why(engine: OpenAIEngine, server: Server) -> None:
    serve(server, CASES["groq, n"])
    await engine.generate(PROMPT, SAMPLING)
    serve(server, Case(lambda body: True, error("no such model"), set(), 404))
    with pytest.raises(EngineError, match=r"no such model.*engine\.model"):
        await engine.generate(PROMPT, SAMPLING)


async def test_single_requests_have_seeds_of_their_own(engine: OpenAIEngine, server: Server) -> None:
    async def one(body: Body) -> Any:
        return JSONResponse(CASES["groq, n"].says, 400) if several(body) else await answer_one(body)

    server.handler = one
    for _ in range(2):
        texts = [completion.text for completion in await engine.generate(PROMPT, SAMPLING)]
        assert sorted(texts) == ["seed 7", "seed 8"]


async def test_another_temperature_may_be_taken(engine: OpenAIEngine, server: Server) -> None:
    """Evaluation asks for greedy and for sampled votes."""
    serve(server, Case(lambda body: body.get("temperature") == 0, CASES["must, temperature"].says, set()))
    greedy = Sampling(n=1, temperature=0.0, top_p=1.0, max_tokens=64)
    await engine.generate(PROMPT, greedy)
    await engine.generate(PROMPT, SAMPLING)
    assert [body.get("temperature") for body in server.requests] == [0.0, None, 0.5]


async def test_a_neutral_value_may_be_refused_for_any_reason(engine: OpenAIEngine, server: Server) -> None:
    """TGI takes no top_p of 1, which is what it does without one."""
    says = {"error": "Input validation: `top_p` must be > 0.0 and < 1.0", "error_type": "validation"}
    serve(server, Case(has("top_p"), says, {"top_p"}, 422))
    assert await engine.generate(PROMPT, Sampling(n=1, temperature=0.5, top_p=1.0, max_tokens=64))


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        (error("temperature: 0.5 is above 0.3, the maximum"), r"sampling\.temperature"),
        (error("temperature must not be greater than 0.3"), r"sampling\.temperature"),
        (error("temperature 0.5 is not acceptable: the maximum is 0.3"), r"sampling\.temperature"),
        (error("max_completion_tokens is too large: 64"), r"sampling\.max_tokens"),
        (error("Invalid 'top_p': must be between 0 and 0.5", "top_p", "invalid_value"), r"sampling\.top_p"),
        (error("max_tokens is too large: 64. At most 16 completion tokens are supported."), r"sampling\.max_tokens"),
        (error("'messages' must contain the word 'json'", "messages"), r"server's log"),
        (error("top_k is not a known argument"), r"correct engine\.extra_body\.top_k"),
        (error("Unknown parameter", "chat_template_kwargs"), r"leave engine\.chat_template_kwargs out"),
        (error("the prompt is about a seed and the temperature, which this service forbids"), r"sampling"),
        ({}, r"engine\.extra_body"),
        (None, r"engine\.extra_body"),
        ("", r"engine\.extra_body"),
        ([[[]]], r"engine\.extra_body"),
    ],
    ids=repr,
)
async def test_what_cannot_be_met_is_an_error_that_names_the_key(
    address: str, server: Server, says: Any, advice: str
) -> None:
    serve(server, Case(lambda body: True, says, set()))
    engine = engine_of(address, extra_body={"top_k": 3}, chat_template_kwargs={"x": 1})
    with pytest.raises(EngineError, match=advice):
        await engine.generate(PROMPT, SAMPLING)
    assert len(server.requests) <= 4, "each parameter is changed at most once"


async def test_a_server_that_refuses_everything_is_left_soon(engine: OpenAIEngine, server: Server) -> None:
    say = "Unsupported parameters: n, temperature, top_p, max_tokens, max_completion_tokens, seed"
    serve(server, Case(lambda body: True, error(say), set()))
    with pytest.raises(EngineError, match="Unsupported parameters"):
        await engine.generate(PROMPT, SAMPLING)
    assert len(server.requests) <= 7


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_a_name_that_was_set_is_not_changed(address: str, server: Server, name: str) -> None:
    serve(server, Case(has(name), error(f"Unsupported parameter: '{name}'", name, "unsupported_parameter"), set()))
    with pytest.raises(EngineError, match=r"engine\.max_tokens_name"):
        await engine_of(address, max_tokens_name=name).generate(PROMPT, SAMPLING)
    assert len(server.requests) == 1
    serve(server)
    assert await engine_of(address, max_tokens_name=name).generate(PROMPT, SAMPLING)
    assert server.requests[-1][name] == 64


@pytest.mark.parametrize(
    "says",
    [
        error("Over this model's maximum context length, 512 tokens", "messages", "context_length_exceeded"),
        error("'max_tokens' or 'max_completion_tokens' is too large: the context length is 512.", "max_tokens"),
        {"object": "error", "message": "The input (900 tokens) is longer than the model's context length"},
        error("prompt is too long: 900 tokens > 512 maximum"),
    ],
    ids=["openai", "vllm", "sglang", "anthropic"],
)
async def test_a_prompt_that_is_too_long_is_told_from_a_parameter(
    engine: OpenAIEngine, server: Server, says: Any
) -> None:
    """The judge shows less of the responses then."""
    serve(server, Case(lambda body: True, says, set()))
    with pytest.raises(PromptTooLong, match=r"judge\.max_response_chars"):
        await engine.generate(PROMPT, SAMPLING)
    assert len(server.requests) == 1


async def test_a_reasoning_model_that_is_cut_before_its_answer_is_cut(engine: OpenAIEngine, server: Server) -> None:
    """OpenAI answers 400 then, also to the readiness probe's one token."""
    says = error("The message could not be finished: max_tokens or model output limit was reached. Try a higher one.")
    serve(server, Case(lambda body: True, says, set()))
    completions = await engine.generate(PROMPT, SAMPLING)
    assert [(completion.text, completion.finish_reason) for completion in completions] == [("", "length")] * 2


async def test_a_message_in_what_the_server_sends_back_is_not_read(engine: OpenAIEngine, server: Server) -> None:
    says = {"detail": [{"loc": ["body", "model"], "msg": "not a known model", "input": "seed is not supported"}]}
    serve(server, Case(lambda body: True, says, set(), 422))
    with pytest.raises(EngineError):
        await engine.generate(PROMPT, SAMPLING)
    assert len(server.requests) == 1


async def test_further_fields_are_sent(address: str, server: Server) -> None:
    engine = engine_of(
        address,
        extra_body={"top_k": 5, "reasoning": {"effort": "low"}},
        chat_template_kwargs={"enable_thinking": False},
    )
    await engine.generate(PROMPT, SAMPLING)
    further = {"top_k": 5, "reasoning": {"effort": "low"}, "chat_template_kwargs": {"enable_thinking": False}}
    assert further.items() <= server.requests[0].items()
    assert {"n": 2, "temperature": 0.5, "top_p": 0.9, "max_tokens": 64, "seed": 7}.items() <= server.requests[0].items()
