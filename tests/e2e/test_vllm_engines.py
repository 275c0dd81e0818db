"""The vLLM engines in this process, without Ray: the nano GRM, and a random meta RM held against transformers."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from examples.nano.groups import draw_ranked_group
from grm_plugin.config import MetaRMConfig, VLLMConfig
from grm_plugin.config.loading import load_config
from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM
from grm_plugin.errors import EngineError
from grm_plugin.judging.lists import ListJudge
from grm_plugin.types import AnswerLine, Group, Message, Prompt, Sampling
from support.factories import until
from support.paths import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MODELS = ROOT / "examples" / "nano" / "models"
GRM = MODELS / "grm"
META_RM = MODELS / "meta_rm"
LOGIT_TOLERANCE = 1e-2

PROMPT = Prompt((Message("user", "Query: Name two colours.\n\nResponse 1 ABCDEF: red, blue\nEnd 1 ABCDEF"),), (0,))
CONVERSATIONS = [
    (*PROMPT.messages, Message("assistant", text))
    for text in ("Scores: \\boxed{9}", "Analysis: too short\nScores: \\boxed{1}", "x " * 40)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[VLLMEngine]:
    engine = VLLMEngine(VLLMConfig(model=str(GRM), max_model_len=512, dtype="bfloat16"))
    yield engine
    engine.shutdown()


def sampling(n: int, max_tokens: int = 64, temperature: float = 1.0, seed: int | None = None) -> Sampling:
    return Sampling(n=n, temperature=temperature, top_p=1.0, max_tokens=max_tokens, seed=seed)


@pytest.mark.asyncio(loop_scope="module")
class TestEngine:
    async def test_n_completions_of_one_prompt(self, engine: VLLMEngine) -> None:
        completions = await engine.generate(PROMPT, sampling(8, max_tokens=200))
        assert len(completions) == 8
        assert len({completion.text for completion in completions}) > 1
        assert all("<|im_end|>" not in completion.text for completion in completions)
        assert all(0 < completion.tokens <= 200 for completion in completions)

    async def test_the_end_is_told_from_a_cut(self, engine: VLLMEngine) -> None:
        (cut,) = await engine.generate(PROMPT, sampling(1, max_tokens=3))
        assert (cut.finish_reason, cut.tokens) == ("length", 3)
        (whole,) = await engine.generate(PROMPT, sampling(1, max_tokens=300, temperature=0.0))
        assert whole.finish_reason == "stop"

    async def test_greedy_completions_are_generated_once(self, engine: VLLMEngine) -> None:
        first, *copies = await engine.generate(PROMPT, sampling(8, max_tokens=300, temperature=0.0))
        assert len(copies) == 7
        assert {copy.text for copy in copies} == {first.text}
        assert (first.tokens > 0, {copy.tokens for copy in copies}) == (True, {0})

    async def test_a_seed_repeats(self, engine: VLLMEngine) -> None:
        first, second = [await engine.generate(PROMPT, sampling(4, seed=3)) for _ in range(2)]
        assert first == second

    async def test_a_prompt_that_leaves_no_room_says_what_to_change(self, engine: VLLMEngine) -> None:
        long = Prompt((Message("user", "red " * 1000),), (0,))
        with pytest.raises(EngineError, match=r"of the 512 tokens.*engine\.max_model_len.*judge\.list_size"):
            await engine.generate(long, sampling(1))

    async def test_cancelling_aborts_the_request(self, engine: VLLMEngine) -> None:
        task = asyncio.create_task(engine.generate(PROMPT, sampling(64, max_tokens=400)))
        await until(lambda: engine._llm.get_num_unfinished_requests() > 0)
        assert not task.done()
        task.cancel()
        await until(lambda: engine._llm.get_num_unfinished_requests() == 0)
        assert task.cancelled()
        assert len(await engine.generate(PROMPT, sampling(2))) == 2

    async def test_a_continued_text_goes_on_where_it_was_cut(self, engine: VLLMEngine) -> None:
        (whole,) = await engine.generate(PROMPT, sampling(1, max_tokens=300, temperature=0.0))
        (cut,) = await engine.generate(PROMPT, sampling(1, max_tokens=whole.tokens - 3, temperature=0.0))
        line = AnswerLine("\nScores: \\boxed{", "}", 12)
        behind = await engine.continue_text(PROMPT, cut, line, sampling(1, temperature=0.0))
        assert (cut.text + behind.text, behind.finish_reason) == (whole.text, "stop")
        assert 0 < behind.tokens <= 3

    async def test_lost_votes_are_kept_by_forced_answers(self, engine: VLLMEngine) -> None:
        rng = random.Random(3)
        groups = [draw_ranked_group(rng, 2, held_out=True) for _ in range(10)]
        lost, forced = {}, 0
        for force in (False, True):
            options = {"force_answer": force, "k": 4, "max_tokens": 77, "seed": 1}
            config = load_config(
                ROOT / "configs" / "nano_cpu.yaml", {f"sampling.{key}": str(value) for key, value in options.items()}
            )
            lists = ListJudge(config, engine)
            judged = [
                await lists.judge(Group((Message("user", group.task.prompt),), group.responses), (0, 1))
                for group in groups
            ]
            lost[force] = sum(len(one.unparsed) for one in judged) / sum(one.asked for one in judged)
            forced = sum(critique.forced for one in judged for critique in one.critiques)
        assert lost[False] > 0.15, "hardly a critique was cut: the test shows nothing"
        assert lost[True] <= 0.03
        assert forced > 0

    async def test_it_is_healthy(self, engine: VLLMEngine) -> None:
        await engine.check_health()


def transformers_logits(folder: Path) -> list[float]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    logits = []
    for conversation in CONVERSATIONS:
        messages = [{"role": message.role, "content": message.content} for message in conversation]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        tokens = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.inference_mode():
            logits.append(model(tokens).logits.item())
    return logits


@pytest.fixture(scope="module")
def random_meta_rm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of one label on the nano GRM's tokenizer, its head scaled up so that logits differ."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("meta_rm")
    tokenizer: Any = AutoTokenizer.from_pretrained(GRM)
    config = AutoConfig.from_pretrained(GRM, num_labels=1, pad_token_id=tokenizer.pad_token_id)
    torch.manual_seed(0)
    model: Any = AutoModelForSequenceClassification.from_config(config).float()
    with torch.no_grad():
        model.score.weight.mul_(20)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("which", ["random", "nano"])
async def test_meta_rm_gives_the_logits_of_transformers(which: str, random_meta_rm: Path) -> None:
    folder = random_meta_rm if which == "random" else META_RM
    expected = transformers_logits(folder)
    meta_rm = VLLMMetaRM(MetaRMConfig(model=str(folder), max_model_len=512, dtype="float32"))
    try:
        logits = await meta_rm.rate(CONVERSATIONS)
        too_long = (Message("user", "red " * 1000), Message("assistant", "x"))
        with pytest.raises(EngineError, match=r"meta_rm\.max_model_len"):
            await meta_rm.rate([too_long])
        await meta_rm.check_health()
    finally:
        meta_rm.shutdown()
    assert logits == pytest.approx(expected, abs=LOGIT_TOLERANCE)
    assert max(expected) - min(expected) > 10 * LOGIT_TOLERANCE, (
        "the logits do not differ: the comparison shows nothing"
    )


def test_a_model_with_other_labels_is_no_meta_rm() -> None:
    with pytest.raises(EngineError, match="one label"):
        VLLMMetaRM(MetaRMConfig(model=str(GRM), max_model_len=512, dtype="float32"))


@pytest.mark.parametrize("build", [VLLMEngine, VLLMMetaRM])
def test_a_model_without_a_chat_template_is_refused_before_it_is_loaded(build: Any, tmp_path: Path) -> None:
    source = GRM if build is VLLMEngine else META_RM
    shutil.copytree(source, tmp_path / "model", ignore=shutil.ignore_patterns("*.jinja", "*.safetensors"))
    config = VLLMConfig if build is VLLMEngine else MetaRMConfig
    with pytest.raises(EngineError, match=r"chat_template is not set.*put a chat_template\.jinja"):
        build(config(model=str(tmp_path / "model"), max_model_len=512, dtype="float32"))
