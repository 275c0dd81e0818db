"""OpenRLHF's rollout side from the installed package, with a policy that says what a test wants, and a live service;
and the interfaces of NeMo-RL."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from grm_plugin.cpu.import_hooks import PatchingFinder
from grm_plugin.cpu.profile import IMPORT_CONTEXTS
from grm_plugin.judging.seams import Generator
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Judgement, Prompt, Sampling
from support.factories import (
    Scripted,
    by_number,
    completions,
    live,
    make_config,
    never,
    responses_shown,
    scoring,
    until,
)
from support.openrlhf_hooks import agent, function, http

EOS = "<|im_end|>"
MAX_LENGTH = 512


@pytest.fixture(scope="session")
def openrlhf() -> ModuleType:
    """`openrlhf`, with the modules of the rollout side imported (vLLM comes with them: ten seconds)."""
    pytest.importorskip("openrlhf")
    if importlib.util.find_spec("flash_attn") is None:
        PatchingFinder({}, IMPORT_CONTEXTS).install()
    import openrlhf.trainer.ppo_utils.samples_generator
    import openrlhf.trainer.ray.vllm_engine

    return openrlhf


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """A byte-level tokenizer with a ChatML template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", EOS]
    trainer = trainers.BpeTrainer(
        special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator([], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS, pad_token="<|endoftext|>")
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer


class Service:
    """A live reward service, and the groups it has judged: sorted responses by question."""

    def __init__(self, generator: Generator, **overrides: Any) -> None:
        self.service = RewardService(make_config(**{"sampling__k": 2, "group__wait_s": 80, **overrides}), generator)
        self.judged: list[Judgement] = []
        self._record = self.service.judge.on_judgement
        self.service.judge.on_judgement = self._on_judgement
        self.url = ""

    @property
    def groups(self) -> list[tuple[str, list[str]]]:
        pairs = [(judged.group.conversation[-1].content, sorted(judged.group.responses)) for judged in self.judged]
        return sorted(pairs)

    def _on_judgement(self, judgement: Judgement) -> None:
        self.judged.append(judgement)
        assert self._record is not None
        self._record(judgement)


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Starts services: `serve(generator, **config)`. Without a generator a response's first number is its score."""
    with ExitStack() as stack:

        def start(generator: Generator | None = None, **overrides: Any) -> Service:
            served = Service(generator or scoring(by_number), **overrides)
            served.url = stack.enter_context(live(create_app(lambda: served.service)))
            return served

        yield start


@pytest.fixture
def left_alone() -> Scripted:
    """A GRM that has no vote for `bad`, once another call is under way, and hangs on all else."""

    async def reply(prompt: Prompt, sampling: Sampling) -> list[Completion]:
        if sampling.max_tokens == 1:  # a readiness probe
            return completions([5])
        if responses_shown(prompt) != ["bad"]:
            return await never(prompt, sampling)
        await until(lambda: any(responses_shown(asked) == ["5"] for asked, _ in generator.calls))
        return []

    generator = Scripted(reply)
    return generator


@pytest.fixture
def hook_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """The path of a hook's file, its environment being set: `hook_file("agent", url, n=8, failure__policy="raise")`."""

    def prepare(name: str, url: str, n: int | None = None, **overrides: Any) -> str:
        config = make_config(**overrides).model_dump(mode="json")
        (tmp_path / "grm.yaml").write_text(json.dumps(config))
        monkeypatch.setenv("GRM_CONFIG", str(tmp_path / "grm.yaml"))
        monkeypatch.setenv("GRM_URL", url)
        if n is not None:
            monkeypatch.setenv("GRM_N", str(n))
        spec = importlib.util.find_spec(f"grm_plugin.integrations.openrlhf.{name}")
        assert spec is not None
        assert spec.origin is not None
        return spec.origin

    return prepare


@pytest.fixture
def load(hook_file: Callable[..., str]) -> Callable[..., Any]:
    """Makes the executor of a hook as OpenRLHF would: `load("agent", url, n)`."""

    def make(hook: str, url: str, n: int, **overrides: Any) -> Any:
        if hook == "http":
            return http(url, n)
        if hook == "function":
            return function(hook_file("reward_func", url, n, **overrides))
        return agent(hook_file("agent", url, **overrides))

    return make


class ScriptedLLM:
    """vLLM's engine as far as RolloutRayActor calls it: says the given texts in turn; an exception is raised."""

    def __init__(self, texts: Sequence[str | Exception], tokenizer: Any, waits: bool) -> None:
        self.texts = iter(texts)
        self.tokenizer = tokenizer
        self.waits = waits
        self.started = 0

    async def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Any]:
        from vllm.outputs import CompletionOutput

        text = next(self.texts)
        self.started += 1
        if self.waits:  # later ones first, so that nothing depends on the order of arrival
            await asyncio.sleep(0.02 / self.started)
        if isinstance(text, Exception):
            raise text
        tokens = self.tokenizer(text + EOS, add_special_tokens=False)["input_ids"]
        logprobs = [{token: SimpleNamespace(logprob=-1.0)} for token in tokens]
        yield SimpleNamespace(
            outputs=[
                CompletionOutput(0, text, tokens, cumulative_logprob=None, logprobs=logprobs, finish_reason="stop")
            ]
        )


class Rollout:
    """A RolloutRayActor, outside Ray, with the steps before and after it that the trainer takes."""

    def __init__(self, executor: Any, llm: ScriptedLLM, tokenizer: Any) -> None:
        from openrlhf.trainer.ray.vllm_engine import RolloutRayActor

        actor_class = RolloutRayActor.__ray_metadata__.modified_class
        self.actor = actor_class.__new__(actor_class)
        self.actor.executor = executor
        self.actor.llm = llm
        self.actor._mm_pad_token_ids = None
        self.tokenizer = tokenizer

    async def generate(self, question: str, n: int, label: Any = "", temperature: float = 1.0) -> list[dict[str, Any]]:
        from vllm import SamplingParams

        prompt = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        params = SamplingParams(temperature=temperature, max_tokens=None, skip_special_tokens=False, logprobs=1)
        params = pickle.loads(pickle.dumps(params))  # Ray hands every call a copy of its own
        async with asyncio.timeout(30):
            return await self.actor.generate_responses(
                prompt, label, params, max_length=MAX_LENGTH, hf_tokenizer=self.tokenizer, num_samples=n
            )

    def experience(self, outputs: list[dict[str, Any]]) -> Any:
        """The trainer's batch of these outputs."""
        from openrlhf.trainer.ppo_utils.experience import Experience
        from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator

        process = SamplesGenerator._process_response_into_experience
        samples = [process(None, output, max_len=MAX_LENGTH) for output in outputs]
        return Experience.concat_experiences(samples, pad_token_id=self.tokenizer.pad_token_id)


@pytest.fixture
def rollout(openrlhf: ModuleType, tokenizer: Any) -> Callable[..., Rollout]:
    """Makes a rollout actor: `rollout(executor, texts)`, perhaps with a tokenizer of its own."""

    def make(executor: Any, texts: Sequence[str | Exception], waits: bool = True, policy: Any = tokenizer) -> Rollout:
        return Rollout(executor, ScriptedLLM(texts, policy, waits), policy)

    return make


INTERFACES = '''
"""The public names and signatures of nemo_rl.environments.interfaces, after NeMo-RL's API reference."""
import abc
from typing import NamedTuple

import torch


class EnvironmentReturn(NamedTuple):
    observations: list
    metadata: list
    next_stop_strings: list
    rewards: torch.Tensor
    terminateds: torch.Tensor
    answers: list | None


class EnvironmentInterface(abc.ABC):
    @abc.abstractmethod
    def step(self, message_log_batch, metadata, *args, **kwargs): ...

    @abc.abstractmethod
    def global_post_process_and_metrics(self, batch): ...
'''


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The environment's module, with NeMo-RL's own interface where it is installed."""
    name = "grm_plugin.integrations.nemo.grm_environment"
    try:
        importlib.import_module("nemo_rl.environments.interfaces")
    except ImportError:
        folder = tmp_path / "nemo_rl" / "environments"
        folder.mkdir(parents=True)
        (folder / "interfaces.py").write_text(INTERFACES)
        monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(name)
    for module in [module for module in sys.modules if module == name or module.startswith("nemo_rl")]:
        del sys.modules[module]
