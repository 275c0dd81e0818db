"""Tiny models with the architecture of the released GRMs, run by our engine classes on vLLM, against transformers.

DeepSeek-V2 (latent attention, routed and shared experts, yarn), Gemma 2 (caps, sliding window) as GRM and as meta RM,
and Qwen 3 (which thinks first). Two to four minutes. On CPU vLLM has a reference implementation of latent attention
(CPU_MLA, chosen here so that every CPU takes the same), without prefix caching, and its first model runner; the
kernels, the second runner and CUDA graphs of a GPU are held against transformers by tests/gpu.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from grm_plugin.config import MetaRMConfig, VLLMConfig
from grm_plugin.engines.chat_tokens import token_ids
from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM
from grm_plugin.judging.parsing import parse
from grm_plugin.types import Completion, Message, Prompt, Sampling, Scores, message_dicts
from support.factories import critique_text
from support.released_models import RELEASED
from support.tiny_models import make_tiny_model, teach_by_heart
from support.transformers_reference import Reference
from support.vllm_parity import PROMPTS, Written, difference, rate, ratings, write

pytest.importorskip("torch")
pytest.importorskip("vllm")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOLERANCE = 1e-3
"""Nats, in float32. What a feature of an architecture changes must be more than ten times as much."""

LOGIT_TOLERANCE = 1e-3
ENGINE_ARGS: dict[str, dict[str, Any]] = {"deepseek_v2": {"attention_backend": "CPU_MLA"}}


def settings(name: str, folder: Path) -> dict[str, Any]:
    arguments = {"max_num_seqs": 8, **ENGINE_ARGS.get(name, {})}
    return {"model": str(folder), "max_model_len": 512, "dtype": "float32", "engine_args": arguments}


@contextmanager
def running(name: str, folder: Path) -> Iterator[VLLMEngine]:
    engine = VLLMEngine(VLLMConfig(**settings(name, folder)))
    try:
        yield engine
    finally:
        engine.shutdown()


class Case(NamedTuple):
    """What the engine of a model wrote to some prompts. It has ended: one runs at a time."""

    name: str
    folder: Path
    reference: Reference
    prompts: Sequence[Prompt]
    written: Sequence[Written]

    def agrees(self) -> None:
        """Check that vLLM read the tokens of transformers, and finds each as likely."""
        expected = [self.reference.prompt(message_dicts(prompt.messages)) for prompt in self.prompts]
        assert [one.prompt for one in self.written] == expected
        found = difference(self.written, self.reference)
        assert found.worst < TOLERANCE, found

    def sees(self, feature: str) -> None:
        """Check that it would not agree without a feature of the architecture."""
        without = Reference(self.folder, RELEASED[self.name].features[feature])
        assert difference(self.written[:2], without).reading > 10 * TOLERANCE


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["deepseek_v2", "gemma_2"])
async def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name = request.param
    folder = make_tiny_model(name, tmp_path_factory.mktemp(name))
    with running(name, folder) as engine:
        written = [await write(engine, prompt) for prompt in PROMPTS]
    return Case(name, folder, Reference(folder), PROMPTS, written)


@pytest.mark.asyncio(loop_scope="module")
class TestGRM:
    async def test_every_token_is_that_of_transformers_and_as_likely(self, case: Case) -> None:
        case.agrees()

    async def test_each_feature_of_the_architecture_is_seen(self, case: Case) -> None:
        for feature in RELEASED[case.name].features:
            case.sees(feature)

    async def test_a_critique_ends_with_the_token_of_the_chat_template(self, case: Case) -> None:
        """Gemma's generation_config.json does not name it."""
        word = RELEASED[case.name].ends_answers
        end = case.reference.tokenizer.convert_tokens_to_ids(word)
        ended = [one for one in case.written if end in one.tokens]
        assert ended, "no prompt was answered with an end: the test shows nothing"
        for one in ended:
            assert one.tokens.index(end) == len(one.tokens) - 1
            assert (one.completion.finish_reason, one.completion.tokens) == ("stop", len(one.tokens))
            assert word not in one.completion.text


async def test_the_meta_rm_rates_as_transformers_does(tmp_path: Path) -> None:
    name = "gemma_2_meta_rm"
    folder = make_tiny_model(name, tmp_path)
    meta_rm = VLLMMetaRM(MetaRMConfig(**settings(name, folder)))
    try:
        found = await rate(meta_rm)
    finally:
        meta_rm.shutdown()
    assert found == pytest.approx(ratings(Reference(folder)), abs=LOGIT_TOLERANCE)
    for feature, change in RELEASED[name].features.items():
        without = ratings(Reference(folder, change))
        assert max(abs(a - b) for a, b in zip(found, without, strict=True)) > 10 * LOGIT_TOLERANCE, feature


LEARNT = Prompt((Message("user", "Which is better? Response 1: red. Response 2: blue."),), (0, 1))
CRITIQUE = critique_text([7, 3])
THOUGHT = f"<think>\nA draft.\n{critique_text([1, 9])}\n</think>\n\n"
MAX_TOKENS = 250


class Thinker(NamedTuple):
    """Qwen 3, which has learnt by heart to think a draft of other scores first."""

    case: Case
    sampled: Sequence[Completion]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thinker(tmp_path_factory: pytest.TempPathFactory) -> Thinker:
    name, prompts = "qwen_3", [LEARNT, *PROMPTS]
    folder = make_tiny_model(name, tmp_path_factory.mktemp(name))
    teach_by_heart(folder, message_dicts(LEARNT.messages), THOUGHT + CRITIQUE)
    with running(name, folder) as engine:
        written = [await write(engine, prompt, MAX_TOKENS) for prompt in prompts]
        sampled = await engine.generate(LEARNT, Sampling(4, 0.3, 1.0, MAX_TOKENS))
    return Thinker(Case(name, folder, Reference(folder), prompts, written), sampled)


@pytest.mark.asyncio(loop_scope="module")
class TestThinkingJudge:
    async def test_every_token_is_that_of_transformers_and_as_likely(self, thinker: Thinker) -> None:
        thinker.case.agrees()
        for feature in RELEASED[thinker.case.name].features:
            thinker.case.sees(feature)

    async def test_what_it_thinks_is_no_part_of_its_critique(self, thinker: Thinker) -> None:
        greedy = thinker.case.written[0].completion
        assert (greedy.text, greedy.finish_reason) == (THOUGHT + CRITIQUE, "stop")
        for completion in (greedy, *thinker.sampled):
            scores = parse(completion, 2, max_tokens=MAX_TOKENS)
            assert isinstance(scores, Scores), scores
            assert scores.values == (7, 3)
            assert "draft" not in scores.principles + scores.analysis

    async def test_thinking_is_switched_off_in_the_prompt(self, thinker: Thinker) -> None:
        tokenizer = thinker.case.reference.tokenizer
        closed = tokenizer.convert_tokens_to_ids("</think>")
        for thinks in (True, False):
            switch = {"enable_thinking": thinks}
            ours = token_ids(tokenizer, LEARNT.messages, True, switch)
            assert ours == thinker.case.reference.prompt(message_dicts(LEARNT.messages), **switch)
            assert (closed in ours) is not thinks
