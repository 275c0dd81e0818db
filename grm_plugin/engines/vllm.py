"""The GRM and the meta RM on vLLM's AsyncLLM, in this process. `serving.ray.replicas` puts them into Ray's actors."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from grm_plugin._util.concurrency import all_of
from grm_plugin._util.own_output import OwnOutput
from grm_plugin.config import VLLMConfig
from grm_plugin.engines.chat_tokens import end_tokens, token_ids
from grm_plugin.engines.load_failures import place_of_log
from grm_plugin.engines.vllm_cache_use import CacheUse
from grm_plugin.engines.vllm_sampling import end_of_thinking, sampling_params
from grm_plugin.engines.vllm_start import start_vllm
from grm_plugin.errors import EngineError, EngineRefusal, PromptTooLong
from grm_plugin.judging.forcing import put_in
from grm_plugin.judging.seams import as_asked, as_often_as_wanted
from grm_plugin.types import UNKNOWN_FINISH, AnswerLine, Completion, Conversation, Prompt, Sampling

CRITIQUE_SHARE = 0.25
"""Share of the model's context that a prompt must leave free, unless `max_tokens` is less: a critique that is cut off
is a lost vote."""


PROMPT_TAIL = 32
"""Tokens at the end of a prompt in which a chat template opens reasoning, if it does."""

SHOW_META_RM_LESS = (
    "raise meta_rm.max_model_len, or show less (judge.list_size, judge.max_response_chars, sampling.max_tokens)"
)
"""What to do where prompt and critique do not fit into the meta RM's context."""


def tokens_left_free(max_tokens: int, max_model_len: int) -> int:
    """Tokens of the context that a prompt must leave free for a critique of up to `max_tokens`."""
    return min(max_tokens, int(max_model_len * CRITIQUE_SHARE))


class VLLMEngine:
    """A `Generator`: one vLLM request per prompt, its n completions share the prompt's prefix in the KV cache.

    Must be used from one event loop. Cancelling `generate` aborts the request in vLLM.

    Raises:
        EngineError: vLLM or the weights cannot be loaded.
    """

    def __init__(self, config: VLLMConfig) -> None:
        self._cache = CacheUse()
        self._llm, tokenizer, self._max_len = start_vllm(
            config, "generate", stat_loggers=[self._cache], enable_prefix_caching=True
        )
        self._tokenize = _Tokenize(tokenizer, True, config.chat_template_kwargs)
        self._ends = end_tokens(tokenizer, config.chat_template_kwargs)
        self._end_of_thinking = end_of_thinking(self._llm)

    @property
    def kv_cache_use(self) -> float | None:
        """Share of the KV cache that is in use, 0 to 1; None before the first request."""
        return self._cache.share

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        tokens = await self._tokenize(prompt.messages)
        left = self._max_len - len(tokens) - sampling.spare
        if left < tokens_left_free(sampling.max_tokens, self._max_len):
            raise PromptTooLong(
                f"the prompt has {len(tokens)} of the {self._max_len} tokens that prompt and critique have together: "
                "raise engine.max_model_len, or show less (judge.list_size, judge.max_response_chars)"
            )
        asked = as_asked(sampling)
        limit = min(asked.max_tokens, left)
        if asked.thinking_min:
            completions = await self._thinking_long(tokens, asked, limit)
        else:
            outputs = await self._ask(tokens, sampling_params(asked, limit, self._ends))
            completions = [_completion(output) for output in outputs]
        return as_often_as_wanted(completions, sampling)

    async def _thinking_long(self, prompt: list[int], asked: Sampling, limit: int) -> list[Completion]:
        """Completions whose thinking has at least `asked.thinking_min` tokens, as far as `limit` tokens allow it.

        The mark that ends it is made a token that ends the completion: vLLM holds those back for `min_tokens`. Where a
        completion ends there, it is continued.
        """
        mark = self._end_of_thinking
        if mark is None:
            raise EngineRefusal(
                "sampling.thinking_tokens.min: the mark that ends thinking is not one token, or unknown: check "
                "reasoning_parser or reasoning_config in engine.engine_args, or leave min out"
            )
        least = min(asked.thinking_min, limit)
        thoughts = await self._ask(prompt, sampling_params(asked, limit, [*self._ends, mark], min_tokens=least))

        async def answered(number: int, thought: Any) -> Completion:
            begun = _completion(thought)
            if begun.token_ids[-1:] != (mark,) or begun.tokens >= limit:
                return begun
            seed = None if asked.seed is None else asked.seed + number
            rest = sampling_params(replace(asked, n=1, seed=seed), limit - begun.tokens, self._ends)
            (output,) = await self._ask([*prompt, *begun.token_ids], rest)
            behind = _completion(output)
            return Completion(
                begun.text + await self._tokenize.text_of([mark]) + behind.text,
                behind.finish_reason,
                begun.tokens + behind.tokens,
                begun.token_ids + behind.token_ids,
            )

        return await all_of(answered(number, thought) for number, thought in enumerate(thoughts))

    async def _ask(self, tokens: list[int], params: Any) -> Any:
        return (await _last(self._llm.generate({"prompt_token_ids": tokens}, params, _request_id()))).outputs

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        """See `Continues.continue_text`. Continues tokens, not text: no other engine process needs to have begun it."""
        tokens = await self._tokenize(prompt.messages)
        behind, added = await self._tokenize.opening(tokens, begun.text, line.opening)
        tokens = [*tokens, *begun.token_ids, *added]
        if len(tokens) >= self._max_len:
            raise PromptTooLong(
                f"an answer is to be put behind {len(tokens)} tokens, and the model takes {self._max_len}: lower "
                "sampling.max_tokens, or raise engine.max_model_len"
            )
        single = replace(sampling, n=1, thinking_max=None, repetition=None)
        room = min(line.tokens, self._max_len - len(tokens))
        params = sampling_params(
            single, room, self._ends, stop=[line.end] if line.end else None, include_stop_str_in_output=True
        )
        (output,) = await self._ask(tokens, params)
        return replace(_completion(output), text=behind + output.text)

    async def count_tokens(self, conversation: Conversation) -> int:
        """See `CountsTokens.count_tokens`."""
        return len(await self._tokenize(conversation))

    async def check_health(self) -> None:
        """Raises `EngineError` when vLLM's engine process is gone."""
        await _check_health(self._llm)

    def shutdown(self) -> None:
        """End vLLM's processes."""
        _shut_down(self._llm)


class VLLMMetaRM:
    """A `MetaRM`: a sequence classification model with one label, through vLLM's pooling runner.

    Must be used from one event loop.

    Args:
        config: the model.
        named: what the user typed it for, in errors about it.
        too_long: what to do where a conversation does not fit into its context.

    Raises:
        EngineError: vLLM or the weights cannot be loaded, or the model has not exactly one label.
    """

    def __init__(self, config: VLLMConfig, named: str = "meta_rm.model", too_long: str = SHOW_META_RM_LESS) -> None:
        self._too_long = too_long
        self._llm, tokenizer, self._max_len = start_vllm(config, "pooling", named)
        self._tokenize = _Tokenize(tokenizer, False, config.chat_template_kwargs)

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        return await all_of(self._rate(conversation) for conversation in conversations)

    async def _rate(self, conversation: Conversation) -> float:
        from vllm import PoolingParams

        tokens = await self._tokenize(conversation)
        if len(tokens) > self._max_len:
            raise PromptTooLong(
                f"the conversation has {len(tokens)} tokens but the model takes {self._max_len}: {self._too_long}"
            )
        # The logit itself: the sigmoid that vLLM would put on it rounds the best critiques to one value.
        params = PoolingParams(task="classify", use_activation=False)
        answer = await _last(self._llm.encode({"prompt_token_ids": tokens}, params, _request_id()))
        return float(answer.outputs.data.item())

    async def check_health(self) -> None:
        """Raises `EngineError` when vLLM's engine process is gone."""
        await _check_health(self._llm)

    def shutdown(self) -> None:
        """End vLLM's processes."""
        _shut_down(self._llm)


class _Tokenize:
    """`token_ids` in a thread: the event loop, which passes on what vLLM has written, does not wait for it.

    In one thread, because tokenizers are not made for several at once.
    """

    def __init__(self, tokenizer: Any, add_generation_prompt: bool, template_kwargs: Mapping[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._add_generation_prompt = add_generation_prompt
        self._template_kwargs = template_kwargs
        self._thread = ThreadPoolExecutor(1, "grm-tokenizer")

    async def __call__(self, conversation: Conversation) -> list[int]:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, token_ids, self._tokenizer, conversation, self._add_generation_prompt, self._template_kwargs
        )

    async def opening(self, prompt: list[int], text: str, opening: str) -> tuple[str, list[int]]:
        """What is put behind a text that was cut (`forcing.put_in`), and its tokens."""

        def behind() -> tuple[str, list[int]]:
            end_of_prompt = str(self._tokenizer.decode(prompt[-PROMPT_TAIL:], skip_special_tokens=False))
            added = put_in(text, opening, end_of_prompt)
            return added, list(self._tokenizer.encode(added, add_special_tokens=False)) if added else []

        return await asyncio.get_running_loop().run_in_executor(self._thread, behind)

    async def text_of(self, tokens: list[int]) -> str:
        """The text of tokens."""
        return str(await asyncio.get_running_loop().run_in_executor(self._thread, self._tokenizer.decode, tokens))


def _completion(output: Any) -> Completion:
    tokens = tuple(output.token_ids)
    return Completion(output.text, output.finish_reason or UNKNOWN_FINISH, len(tokens), tokens)


async def _last(outputs: Any) -> Any:
    """The final output of a vLLM request."""
    final = None
    try:
        async for output in outputs:
            final = output
    except EngineError:
        raise
    except Exception as error:  # vLLM's errors have no base class
        raise EngineError(f"vLLM failed on a request: {_reason(error)}") from error
    if final is None:
        raise EngineError("vLLM ended a request without an output; see its log")
    return final


async def _check_health(llm: Any) -> None:
    try:
        await llm.check_health()
    except Exception as error:
        raise EngineError(f"vLLM's engine is not healthy: {_reason(error)}") from error


def _shut_down(llm: Any) -> None:
    llm.shutdown()
    # AsyncLLM.__del__ calls it again, which fails where the ending interpreter has already unloaded vLLM's modules.
    llm.shutdown = lambda: None


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    where = place_of_log(OwnOutput()) if "(above)" in str(cause) else ""  # vLLM's process has ended
    return f"{type(cause).__name__}: {cause}{where}"


def _request_id() -> str:
    return uuid.uuid4().hex
