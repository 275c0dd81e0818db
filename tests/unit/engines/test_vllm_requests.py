"""What the vLLM engines ask of vLLM: real SamplingParams and a real chat template, and a stand-in for the model.

vLLM itself runs in tests/e2e.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("vllm")
pytest.importorskip("transformers")

from grm_plugin.config import VLLMConfig
from grm_plugin.engines.chat_tokens import unread_by_template
from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM, _Tokenize
from grm_plugin.judging.judge import Judge
from grm_plugin.types import Completion, Message, Prompt, Sampling
from support.factories import critique_text, judge_one, make_config

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)


class Tokenizer:
    """A tokenizer with a template that can switch thinking off; its tokens are characters."""

    chat_template = TEMPLATE

    def apply_chat_template(self, messages: Any, tokenize: bool, add_generation_prompt: bool, **rest: Any) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        rendered, _ = render_jinja_template(
            conversations=[messages], chat_template=TEMPLATE, add_generation_prompt=add_generation_prompt, **rest
        )
        return str(rendered[0])

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return list(map(ord, text))


class LLM:
    """Answers every request with `params.n` critiques; `asked` holds the parameters, `prompts` the texts."""

    def __init__(self, reason: str | None = "stop") -> None:
        self.reason = reason
        self.asked: list[Any] = []
        self.prompts: list[str] = []

    async def generate(self, prompt: Any, params: Any, request_id: str) -> AsyncIterator[Any]:
        self._keep(prompt, params)
        outputs = [
            SimpleNamespace(text=critique_text([8, 3]), finish_reason=self.reason, token_ids=range(7))
            for _ in range(params.n)
        ]
        yield SimpleNamespace(outputs=outputs)

    async def encode(self, prompt: Any, params: Any, request_id: str) -> AsyncIterator[Any]:
        self._keep(prompt, params)
        yield SimpleNamespace(outputs=SimpleNamespace(data=SimpleNamespace(item=lambda: 1.5)))

    def _keep(self, prompt: Any, params: Any) -> None:
        self.asked.append(params)
        self.prompts.append("".join(map(chr, prompt["prompt_token_ids"])))


def engine_of(llm: LLM, kind: Any = VLLMEngine, **template_kwargs: Any) -> Any:
    engine = kind.__new__(kind)
    engine._llm, engine._max_len, engine._ends = llm, 100_000, [7]
    arguments = VLLMConfig(model="a/b", chat_template_kwargs=template_kwargs).chat_template_kwargs
    engine._tokenize = _Tokenize(Tokenizer(), kind is VLLMEngine, arguments)
    return engine


@pytest.mark.parametrize("top_p", [1.0, 0.5])
@pytest.mark.parametrize("k", [1, 2, 8, 9])
async def test_greedy_votes_are_one_completion_per_order(k: int, top_p: float) -> None:
    """vLLM refuses greedy requests for several completions: its own SamplingParams are made here."""
    llm = LLM()
    config = make_config(sampling={"temperature": 0, "k": k, "top_p": top_p})
    judgement = await judge_one(Judge(config, engine_of(llm)), "one", "two")
    orders = min(2, k)
    assert [params.n for params in llm.asked] == [1] * orders
    assert [(reward.votes_asked, reward.votes_parsed) for reward in judgement.rewards] == [(k, k)] * 2
    assert judgement.lists[0].tokens == 7 * orders, "tokens count where they were generated"


async def test_the_engine_alone_gives_as_many_greedy_completions_as_it_is_asked_for() -> None:
    prompt = Prompt((Message("user", "Which?"),), (0, 1))
    sampling = Sampling(n=3, temperature=0.0, top_p=0.9, max_tokens=64)
    first, *copies = await engine_of(LLM()).generate(prompt, sampling)
    assert first == Completion(critique_text([8, 3]), "stop", 7)
    assert copies == [Completion(critique_text([8, 3]), "stop", 0)] * 2


@pytest.mark.parametrize("word", ["stop", "length", "abort", "error", "repetition"])
async def test_vllms_word_for_the_end_comes_through(word: str) -> None:
    prompt = Prompt((Message("user", "Which?"),), (0, 1))
    llm = LLM(word)
    (completion,) = await engine_of(llm).generate(prompt, Sampling(1, 0.5, 1.0, 64))
    assert completion.finish_reason == word
    assert llm.asked[0].stop_token_ids == [7]


async def test_a_completion_without_an_end_is_not_taken_for_a_whole_one() -> None:
    prompt = Prompt((Message("user", "Which?"),), (0, 1))
    (completion,) = await engine_of(LLM(None)).generate(prompt, Sampling(1, 0.5, 1.0, 64))
    assert completion.finish_reason == "unknown"


@pytest.mark.parametrize(
    ("template_kwargs", "ending"), [({}, "<|im_end|>"), ({"enable_thinking": False}, "<think></think>")]
)
async def test_the_template_gets_its_arguments(template_kwargs: dict[str, Any], ending: str) -> None:
    grm, meta = LLM(), LLM()
    prompt = Prompt((Message("user", "Which?"),), (0, 1))
    await engine_of(grm, **template_kwargs).generate(prompt, Sampling(1, 0.5, 1.0, 64))
    assert await engine_of(meta, VLLMMetaRM, **template_kwargs).rate([prompt.messages]) == [1.5]
    assert [text.endswith(ending) for text in (*grm.prompts, *meta.prompts)] == [True, True]


@pytest.mark.parametrize(
    ("template", "unread"),
    [
        (TEMPLATE, ["enable_thinkin"]),
        ({"default": TEMPLATE, "tool_use": ""}, ["enable_thinkin"]),
        (None, []),
    ],
)
def test_a_misspelt_argument_is_found(template: Any, unread: list[str]) -> None:
    tokenizer = SimpleNamespace(chat_template=template)
    assert unread_by_template(tokenizer, {"enable_thinking": False, "enable_thinkin": False}) == unread


async def test_a_slow_tokenizer_leaves_the_event_loop_to_the_health_checks() -> None:
    """It waits for what the loop does meanwhile: on the loop itself that would never come."""
    meanwhile = threading.Event()

    class Slow(Tokenizer):
        def encode(self, text: str, add_special_tokens: bool) -> list[int]:
            assert meanwhile.wait(20), "the event loop stands still"
            return super().encode(text, add_special_tokens)

    meta_rm = engine_of(LLM(), VLLMMetaRM)
    meta_rm._tokenize = _Tokenize(Slow(), False, {})
    rating = asyncio.create_task(meta_rm.rate([(Message("user", "?"), Message("assistant", "!"))] * 50))
    await asyncio.sleep(0.01)
    meanwhile.set()
    assert await rating == [1.5] * 50
