"""Budgets of thinking, the loop guard and forced answers on vLLM, with a tiny Qwen 3 that thinks by heart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio

from grm_plugin.config import VLLMConfig
from grm_plugin.config.answer_lines import answer_line
from grm_plugin.engines.vllm import VLLMEngine
from grm_plugin.types import Completion, Message, Prompt, Sampling, message_dicts
from support.factories import critique_text, make_config
from support.tiny_models import make_tiny_model, teach_by_heart

pytest.importorskip("torch")
pytest.importorskip("vllm")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROMPT = Prompt((Message("user", "Which is better? Response 1: red. Response 2: blue."),), (0, 1))
CRITIQUE = critique_text([7, 3])
DRAFT = f"\nA draft.\n{'so ' * 14}\n{critique_text([1, 9])}\n"
MARKS = {"reasoning_start_str": "<think>", "reasoning_end_str": "</think>"}


class Thinker(NamedTuple):
    """A running engine, and the tokens that begin and end thinking."""

    engine: VLLMEngine
    opens: int
    closes: int

    async def write(self, prompt: Prompt, n: int = 1, max_tokens: int = 400, **rest: object) -> list[Completion]:
        sampling = Sampling(n, 0.0 if n == 1 else 0.3, 1.0, max_tokens, **rest)  # type: ignore[arg-type]
        return await self.engine.generate(prompt, sampling)

    def thought(self, completion: Completion) -> int:
        """Tokens between the marks."""
        ids = list(completion.token_ids)
        return ids.index(self.closes) - ids.index(self.opens) - 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thinker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Thinker]:
    from transformers import AutoTokenizer

    folder = make_tiny_model("qwen_3", tmp_path_factory.mktemp("qwen_3"))
    teach_by_heart(folder, message_dicts(PROMPT.messages), f"<think>{DRAFT}</think>\n\n{CRITIQUE}")
    opens, closes = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(["<think>", "</think>"])
    config = VLLMConfig(model=str(folder), max_model_len=1024, dtype="float32", engine_args={"reasoning_config": MARKS})
    engine = VLLMEngine(config)
    yield Thinker(engine, opens, closes)
    engine.shutdown()


@pytest.mark.asyncio(loop_scope="module")
class TestBudget:
    async def test_it_thinks_by_heart_without_a_budget(self, thinker: Thinker) -> None:
        (completion,) = await thinker.write(PROMPT)
        assert completion.text == f"<think>{DRAFT}</think>\n\n{CRITIQUE}"
        assert thinker.thought(completion) == len(DRAFT), "its tokens are characters"

    async def test_the_most_is_kept(self, thinker: Thinker) -> None:
        for completion in [
            *await thinker.write(PROMPT, thinking_max=12),
            *await thinker.write(PROMPT, 4, thinking_max=12),
        ]:
            assert thinker.thought(completion) <= 12

    async def test_the_least_is_kept(self, thinker: Thinker) -> None:
        least = len(DRAFT) + 40
        for completion in [
            *await thinker.write(PROMPT, thinking_min=least),
            *await thinker.write(PROMPT, 4, thinking_min=least),
        ]:
            ids = list(completion.token_ids)
            assert thinker.closes not in ids[:least]
            assert len(ids) == completion.tokens <= 400

    async def test_a_least_that_it_reaches_by_itself_changes_nothing(self, thinker: Thinker) -> None:
        (plain,) = await thinker.write(PROMPT)
        (held,) = await thinker.write(PROMPT, thinking_min=10, thinking_max=300)
        assert (held, held.token_ids) == (plain, plain.token_ids)

    async def test_the_limit_of_a_critique_counts_for_both_parts(self, thinker: Thinker) -> None:
        (completion,) = await thinker.write(PROMPT, max_tokens=len(DRAFT) + 8, thinking_min=10)
        assert (completion.tokens, completion.finish_reason) == (len(DRAFT) + 8, "length")
        (least,) = await thinker.write(PROMPT, max_tokens=1, thinking_min=10)
        assert least.tokens == 1

    async def test_circles_end(self, thinker: Thinker) -> None:
        (ended,) = await thinker.write(PROMPT, repetition=(16, 4))
        assert (ended.finish_reason, ended.text) == ("repetition", f"<think>\nA draft.\n{'so ' * 12}")
        (spared,) = await thinker.write(PROMPT, repetition=(16, 6))
        assert spared.finish_reason == "stop"

    async def test_an_answer_is_forced_behind_thinking_that_was_cut(self, thinker: Thinker) -> None:
        (cut,) = await thinker.write(PROMPT, max_tokens=30)
        line = answer_line(make_config().judge, 2)
        assert line is not None
        behind = await thinker.engine.continue_text(PROMPT, cut, line, Sampling(1, 0.0, 1.0, 30))
        assert behind.text.startswith("\n</think>\n\nScores: \\boxed{")
        assert behind.tokens <= line.tokens
