"""OpenRLHF's own executor with a policy that has its responses ready: what a rollout actor does, without a GPU."""

from __future__ import annotations

import asyncio
import copy
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from reward_path.texts import K, N, Question, word_pool

EOS = "<|im_end|>"
MAX_LENGTH = 8192


@dataclass
class SamplingParams:
    """Of vLLM's class what OpenRLHF's executor reads."""

    temperature: float = 1.0
    max_tokens: int | None = None
    logprobs: int | None = None


def make_tokenizer(*further: str) -> Any:
    """A byte-level BPE tokenizer trained on the words of the texts, and of `further` ones: a word is about a token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=6_000,
        special_tokens=["<|endoftext|>", "<|im_start|>", EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([" ".join(["", *word_pool()]), *further] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=EOS, pad_token="<|endoftext|>")


class ReadyPolicy:
    """The engine of a rollout actor: says the responses to a prompt in turn, at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._outputs: dict[tuple[int, ...], list[Any]] = {}

    def prepare(self, prompt: str, responses: Sequence[str]) -> None:
        def tokens(text: str) -> list[int]:
            ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            return ids

        self._outputs[tuple(tokens(prompt))] = [
            SimpleNamespace(
                outputs=[SimpleNamespace(token_ids=tokens(text + EOS), text=text, finish_reason="stop", logprobs=None)]
            )
            for text in reversed(responses)
        ]

    async def generate(self, prompt_token_ids: list[int], sampling_params: Any, multi_modal_data: Any = None) -> Any:
        return self._outputs[tuple(prompt_token_ids)].pop()


class Rollout:
    """What `RolloutRayActor` does with an executor (`openrlhf/trainer/ray/vllm_engine.py`, `generate_responses`).

    Args:
        executor: a `SingleTurnAgentExecutor` or what an agent file has in its place.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._tokenizer = make_tokenizer()

    def prepare(self, asked: Sequence[Question]) -> None:
        """Have the policy's responses ready."""
        self._policy = ReadyPolicy(self._tokenizer)
        self._prompts = [f"<|im_start|>user\n{each.prompt}{EOS}\n<|im_start|>assistant\n" for each in asked]
        for prompt, each in zip(self._prompts, asked, strict=True):
            self._policy.prepare(prompt, each.responses)

    async def run(self) -> list[list[dict[str, Any]]]:
        """All samples of the burst at once; the executor's outputs, by prompt."""
        params = SamplingParams()
        return await asyncio.gather(*(self._generate(prompt, copy.copy(params)) for prompt in self._prompts))

    async def _generate(self, prompt: str, params: SamplingParams) -> list[dict[str, Any]]:
        return await asyncio.gather(
            *(
                self._executor.execute(prompt, "", params, MAX_LENGTH, self._tokenizer, self._policy, None)
                for _ in range(N)
            )
        )


def load_agent() -> Any:
    """The executor of our agent file, loaded by its path as OpenRLHF does."""
    spec = importlib.util.find_spec("grm_plugin.integrations.openrlhf.agent")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AgentExecutor()


def reward_of(output: dict[str, Any]) -> float | None:
    """The reward of an output; None where it is missing, a fallback's, or made of fewer than `K` votes."""
    logs = {key: _plain(value) for key, value in output["extra_logs"].items()}
    if logs and (logs["grm_votes_kept"], logs["grm_votes_lost"], logs["grm_fallback"]) != (K, 0, 0):
        return None
    return _plain(output["reward"])


def _plain(value: Any) -> Any:
    """Over HTTP OpenRLHF gets lists of one."""
    return value[0] if isinstance(value, list) else value
