"""The engines that need no model: fake, and openai against a real HTTP server in this process."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import Any

import pytest
from fastapi import HTTPException

from grm_plugin._util.deadline import Deadline, working_until
from grm_plugin.config import FakeConfig, JudgeConfig, OpenAIConfig
from grm_plugin.config.answer_lines import answer_line
from grm_plugin.config.loading import load_config
from grm_plugin.engines.build import build_generator
from grm_plugin.engines.fake import FakeEngine, FakeMetaRM, score_by_vocabulary
from grm_plugin.engines.openai import GARBAGE_TRIES, OpenAIEngine
from grm_plugin.engines.vllm import VLLMEngine
from grm_plugin.errors import EngineError
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.parsing import parse
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.judging.read_criteria import read_criteria
from grm_plugin.types import Completion, Criterion, Group, Message, Prompt, Sampling, Scores
from support.chat_server import Server, answer_n, answer_one, reply

QUESTION = (Message("user", "Name three colours."),)
PROMPT = Prompt(QUESTION, (0,))


def sampling(n: int = 1, seed: int | None = None) -> Sampling:
    return Sampling(n=n, temperature=0.5, top_p=1.0, max_tokens=64, seed=seed)


class TestFake:
    async def test_hands_out_texts_until_there_are_none(self) -> None:
        engine = FakeEngine(["one", Completion("two", "length", 7), "three"])
        assert await engine.generate(PROMPT, sampling(2)) == [
            Completion("one", tokens=1),
            Completion("two", "length", 7),
        ]
        assert len(await engine.generate(PROMPT, sampling(2))) == 1
        with pytest.raises(EngineError, match="run out"):
            await engine.generate(PROMPT, sampling(1))

    async def test_a_script_may_be_a_coroutine_function_and_may_fail(self) -> None:
        async def script(prompt: Prompt, options: Sampling) -> list[str]:
            await asyncio.sleep(0)
            if options.n > 1:
                raise EngineError("injected")
            return [prompt.messages[-1].content]

        engine = FakeEngine(script)
        assert (await engine.generate(PROMPT, sampling(1)))[0].text == "Name three colours."
        with pytest.raises(EngineError, match="injected"):
            await engine.generate(PROMPT, sampling(2))

    async def test_meta_rm_rates_by_its_rule(self) -> None:
        meta_rm = FakeMetaRM(lambda conversation: float(len(conversation)))
        assert await meta_rm.rate([QUESTION, QUESTION * 2]) == [1.0, 2.0]

    @pytest.mark.parametrize("n", [1, 2, 5])
    def test_the_dry_run_writes_legal_critiques_that_follow_the_words(self, n: int) -> None:
        responses = tuple(" ".join(f"w{word}" for word in range(10 * (index + 1))) for index in range(n))
        order = tuple(reversed(range(n)))
        prompt = PromptBuilder().listwise(Group(QUESTION, responses), order, "ABCDEF")
        critiques = score_by_vocabulary(prompt, sampling(3))
        assert len(critiques) == 3
        parsed = parse(Completion(critiques[0]), n)
        assert isinstance(parsed, Scores)
        assert parsed.values == tuple(min(10, 1 + 2 * (index + 1)) for index in order)

    def test_the_dry_run_is_indifferent_where_it_cannot_read_the_template(self) -> None:
        parsed = parse(Completion(score_by_vocabulary(Prompt(QUESTION, (1, 0)), sampling())[0]), 2)
        assert isinstance(parsed, Scores)
        assert parsed.values == (5, 5)

    async def test_the_dry_run_configuration_judges(self) -> None:
        config = load_config({"engine": {"type": "fake"}, "sampling": {"k": 4}})
        judge = Judge(config, build_generator(config.engine))
        long, short = " ".join(map(str, range(40))), "one"
        judgements = await judge.judge([Group(QUESTION, (short, long))])
        values = [reward.value for reward in judgements[0].rewards]
        assert values == [0.0, pytest.approx(8 / 9)]

    async def test_the_dry_run_scores_by_criteria(self) -> None:
        kinds = ("scale", "yes_no", "must", "penalty")
        criteria = [{"name": kind, "text": "Are there many words?", "kind": kind} for kind in kinds]
        config = load_config({"engine": {"type": "fake"}, "judge": {"criteria": criteria}, "sampling": {"k": 4}})
        engine = build_generator(config.engine)
        [judgement] = await Judge(config, engine).judge([Group(QUESTION, ("one", " ".join(map(str, range(40)))))])
        rows = [[row.mean for row in reward.criteria] for reward in judgement.rewards]
        assert rows == [[1.0, 1.0, 1.0, 10.0], [9.0, 10.0, 10.0, 10.0]]

    async def test_the_dry_run_goes_on_with_a_critique_by_criteria(self) -> None:
        criteria = (Criterion("a", "x"), Criterion("b", "x", kind="penalty"))
        prompt = PromptBuilder().listwise(Group(QUESTION, ("one", "two"), criteria=criteria), (0, 1), "ABCDEF")
        line = answer_line(JudgeConfig(), 2, 2)
        assert line is not None
        behind = await FakeEngine(score_by_vocabulary).continue_text(prompt, Completion("Analysis:"), line, sampling())
        read = read_criteria(behind, 2, criteria, JudgeConfig())
        assert isinstance(read, Scores)
        assert read.by_criterion == ((1, 1), (10, 10))

    async def test_delay_is_cancelled_with_the_caller(self) -> None:
        engine = build_generator(FakeConfig(delay_s=3600))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await engine.generate(PROMPT, sampling())


class TestOpenAI:
    async def test_one_request_carries_n(self, engine: OpenAIEngine, server: Server) -> None:
        completions = await engine.generate(PROMPT, sampling(3, seed=7))
        assert completions == [Completion(f"critique {index}", "stop", 10) for index in range(3)]
        (request,) = server.requests
        expected = {"model": "grm", "n": 3, "temperature": 0.5, "top_p": 1.0, "max_tokens": 64, "seed": 7}
        assert expected.items() <= request.items()
        assert request["messages"] == [{"role": "user", "content": "Name three colours."}]

    async def test_a_server_that_ignores_n_is_asked_again_with_other_seeds(
        self, engine: OpenAIEngine, server: Server
    ) -> None:
        server.handler = answer_one
        completions = await engine.generate(PROMPT, sampling(4, seed=7))
        assert sorted(completion.text for completion in completions) == ["seed 10", "seed 7", "seed 8", "seed 9"]
        assert [request["n"] for request in server.requests] == [4, 1, 1, 1]

    async def test_without_a_seed_none_is_sent(self, engine: OpenAIEngine, server: Server) -> None:
        await engine.generate(PROMPT, sampling())
        assert "seed" not in server.requests[0]

    async def test_a_lost_single_costs_one_completion_only(self, engine: OpenAIEngine, server: Server) -> None:
        async def fail_on_seed_2(body: dict[str, Any]) -> dict[str, Any]:
            if body["seed"] == 2:
                raise HTTPException(400, "no")
            return await answer_one(body)

        server.handler = fail_on_seed_2
        assert len(await engine.generate(PROMPT, sampling(4, seed=0))) == 3

    async def test_at_most_max_concurrency_requests_are_in_flight(self, engine: OpenAIEngine, server: Server) -> None:
        async def slow(body: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return await answer_n(body)

        server.handler = slow
        await asyncio.gather(*(engine.generate(PROMPT, sampling()) for _ in range(8)))
        assert server.most_in_flight == 2

    async def test_the_key_comes_from_the_named_variable(
        self, address: str, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_GRM_KEY", "secret")
        engine = OpenAIEngine(OpenAIConfig(model="grm", base_url=address, api_key_env="MY_GRM_KEY"))
        await engine.generate(PROMPT, sampling())
        assert server.keys == ["Bearer secret"]

    @pytest.mark.parametrize(
        ("status", "advice"), [(401, "OPENAI_API_KEY"), (404, "engine.model"), (400, "see the server's log")]
    )
    async def test_refusals_say_who_and_what_to_check(
        self, engine: OpenAIEngine, server: Server, address: str, status: int, advice: str
    ) -> None:
        async def refuse(body: dict[str, Any]) -> dict[str, Any]:
            raise HTTPException(status, "refused")

        server.handler = refuse
        with pytest.raises(EngineError, match=advice) as error:
            await engine.generate(PROMPT, sampling())
        assert address in str(error.value)

    async def test_a_server_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 1)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        engine = OpenAIEngine(OpenAIConfig(model="grm", base_url=f"http://127.0.0.1:{port}/v1"))
        with pytest.raises(EngineError, match=rf"127\.0\.0\.1:{port}/v1 cannot be reached.*engine\.base_url"):
            await engine.generate(PROMPT, sampling())

    async def test_no_choices_is_an_error_and_null_content_is_empty(self, engine: OpenAIEngine, server: Server) -> None:
        async def nothing(body: dict[str, Any]) -> dict[str, Any]:
            return reply()

        async def null(body: dict[str, Any]) -> dict[str, Any]:
            return reply(None)

        server.handler = nothing
        with pytest.raises(EngineError, match="without a completion"):
            await engine.generate(PROMPT, sampling())
        server.handler = null
        assert await engine.generate(PROMPT, sampling()) == [Completion("", "stop", 0)]

    @pytest.mark.parametrize(
        "word", ["stop", "length", "content_filter", "tool_calls", "eos_token", "MAX_TOKENS", None]
    )
    async def test_the_servers_word_for_the_end_comes_through(
        self, engine: OpenAIEngine, server: Server, word: str | None
    ) -> None:
        async def answer(body: dict[str, Any]) -> dict[str, Any]:
            answer = reply("critique", tokens=9)
            answer["choices"][0]["finish_reason"] = word
            return answer

        server.handler = answer
        assert await engine.generate(PROMPT, sampling()) == [Completion("critique", word or "unknown", 9)]

    @pytest.mark.parametrize("content", [None, ""])
    @pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
    async def test_thoughts_without_an_answer_are_an_empty_completion_and_are_said_once(
        self, engine: OpenAIEngine, server: Server, caplog: pytest.LogCaptureFixture, content: str | None, key: str
    ) -> None:
        async def think(body: dict[str, Any]) -> dict[str, Any]:
            answer = reply(content, tokens=64)
            answer["choices"][0]["message"][key] = "Let me see. Scores: \\boxed{1}"
            return answer

        server.handler = think
        for _ in range(2):
            assert await engine.generate(PROMPT, sampling()) == [Completion("", "stop", 64)]
        (warning,) = [record.message for record in caplog.records if record.name.startswith("grm_plugin")]
        assert "engine.chat_template_kwargs" in warning
        assert "boxed" not in warning

    async def test_greedy_completions_are_one_request_for_one(self, engine: OpenAIEngine, server: Server) -> None:
        greedy = Sampling(n=3, temperature=0.0, top_p=0.9, max_tokens=64)
        assert [completion.tokens for completion in await engine.generate(PROMPT, greedy)] == [10, 0, 0]
        assert [(request["n"], request["top_p"]) for request in server.requests] == [(1, 1.0)]

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_an_overloaded_server_is_asked_again_when_it_says(
        self, engine: OpenAIEngine, server: Server, status: int
    ) -> None:
        async def busy_first(body: dict[str, Any]) -> dict[str, Any]:
            if len(server.requests) < 3:
                raise HTTPException(status, "busy", {"Retry-After": "0.01"})
            return await answer_n(body)

        server.handler = busy_first
        assert len(await engine.generate(PROMPT, sampling(2))) == 2
        assert len(server.requests) == 3

    @pytest.mark.parametrize(
        "garbage",
        [
            {"choices": []}, {"choices": None}, {"error": "no"}, [], "text", None, {"choices": [None]},
            {"choices": [{"index": 0, "finish_reason": "stop", "message": None}]},
            {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": 7}}]},
        ],
        ids=repr,
    )  # fmt: skip
    async def test_garbage_is_asked_again_and_then_an_error(
        self, engine: OpenAIEngine, server: Server, garbage: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("grm_plugin.engines.openai.GARBAGE_PAUSE_S", 0.0)

        async def always(body: dict[str, Any]) -> Any:
            return garbage

        async def first(body: dict[str, Any]) -> Any:
            return garbage if len(server.requests) == GARBAGE_TRIES + 1 else await answer_n(body)

        server.handler = always
        with pytest.raises(EngineError, match="answered with"):
            await engine.generate(PROMPT, sampling())
        assert len(server.requests) == GARBAGE_TRIES
        server.handler = first
        assert len(await engine.generate(PROMPT, sampling(2))) == 2

    async def test_a_request_that_hangs_is_sent_again_in_half_of_the_time(
        self, engine: OpenAIEngine, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("grm_plugin.engines.openai_retries.SHORTEST_PATIENCE_S", 0.5)

        over = threading.Event()

        async def hang_first(body: dict[str, Any]) -> dict[str, Any]:
            if len(server.requests) == 1:
                await asyncio.to_thread(over.wait, 20)
            return await answer_n(body)

        server.handler = hang_first
        try:
            with working_until(Deadline.after(4.0)):
                async with asyncio.timeout(4.0):
                    assert len(await engine.generate(PROMPT, sampling(2))) == 2
            assert len(server.requests) == 2
        finally:
            over.set()

    async def test_a_request_that_is_slow_but_in_time_is_not_sent_again(
        self, engine: OpenAIEngine, server: Server
    ) -> None:
        async def slow(body: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(1.5)
            return await answer_n(body)

        server.handler = slow
        with working_until(Deadline.after(2.5)):
            assert len(await engine.generate(PROMPT, sampling(2))) == 2
        assert len(server.requests) == 1

    async def test_a_server_that_never_answers_is_left_with_the_caller(
        self, engine: OpenAIEngine, server: Server
    ) -> None:
        async def hang(body: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(2)
            return reply("late")

        server.handler = hang
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await engine.generate(PROMPT, sampling())
        server.handler = answer_n
        assert len(await engine.generate(PROMPT, sampling(2))) == 2

    def test_it_works_on_one_event_loop_after_another(self, address: str) -> None:
        engine = OpenAIEngine(OpenAIConfig(model="grm", base_url=address))
        for _ in range(2):
            assert len(asyncio.run(engine.generate(PROMPT, sampling(2)))) == 2


def test_a_vllm_engine_is_ended_once() -> None:
    """vLLM's own __del__ ends it again, which prints a TypeError when the interpreter has taken its modules down."""
    ends = []

    class LLM:
        def shutdown(self) -> None:
            ends.append(1)

        def __del__(self) -> None:
            self.shutdown()

    engine = VLLMEngine.__new__(VLLMEngine)
    engine._llm = LLM()
    engine.shutdown()
    del engine
    gc.collect()
    assert ends == [1]
