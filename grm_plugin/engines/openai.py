"""The GRM behind any OpenAI-compatible server, through the official client."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI
from openai.types.chat import ChatCompletion

from grm_plugin._util.deadline import current_deadline
from grm_plugin.config import OpenAIConfig
from grm_plugin.errors import EngineError, EngineTimeout
from grm_plugin.types import Completion, Prompt, Sampling, message_dicts

REQUEST_TIMEOUT_S = 600.0
"""Longest wait for an answer where the caller has no deadline."""

SHORTEST_PATIENCE_S = 60.0
"""A request is given up when half of the caller's time has passed, so that another one has a chance, but not before so
many seconds: a slow answer is not to be taken for one that never comes."""

MAX_RETRIES = 4
"""Repeats after a lost connection, 408, 409, 429 or 5xx, with growing pauses or the one that Retry-After asks for."""

GARBAGE_TRIES, GARBAGE_PAUSE_S = 3, 0.5
"""Tries in all, and the pause between them, where the server answers with something else than a completion."""

_ADVICE = {
    401: "check the key in the environment variable {key_env} (engine.api_key_env)",
    403: "check the key in the environment variable {key_env} (engine.api_key_env)",
    404: "check engine.model ({model}) and that engine.base_url ends with the API's version, such as /v1",
    429: "the server is overloaded or the quota is used up: lower engine.max_concurrency",
}


class OpenAIEngine:
    """A `Generator` over `POST {base_url}/chat/completions`.

    Asks for n completions in one request. Those that are missing, because the server ignores `n`, are asked for one by
    one. At most `max_concurrency` requests are in flight. May be used from several event loops.

    A request that fails is repeated while the caller's deadline allows it: the server may be overloaded, or restart.
    One that takes more than half of the time left is taken for lost, and sent once more.
    """

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        # Connections and semaphores belong to the event loop that made them.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncOpenAI, asyncio.Semaphore]]
        self._clients = WeakKeyDictionary()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        completions = await self._ask_repeatedly(prompt, sampling)
        missing = sampling.n - len(completions)
        if completions and missing > 0:
            singles = await asyncio.gather(
                *(self._ask(prompt, _single(sampling, turn)) for turn in range(1, missing + 1)), return_exceptions=True
            )
            completions += [completion for answer in singles if isinstance(answer, list) for completion in answer]
        return completions[: sampling.n]

    async def _ask_repeatedly(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """`_ask`, repeated where the server answers with something else than a completion."""
        for tries_left in range(GARBAGE_TRIES - 1, -1, -1):
            try:
                return await self._ask(prompt, sampling)
            except _NoCompletionError as error:
                if not tries_left:
                    raise EngineError(
                        f"{self._config.base_url} answered {error}; try the same request by hand"
                    ) from None
            await asyncio.sleep(GARBAGE_PAUSE_S)
        raise AssertionError("unreachable")

    async def _ask(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        client, slots = self._client()
        request: dict[str, Any] = {
            "model": self._config.model,
            "messages": message_dicts(prompt.messages),
            "n": sampling.n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.seed is not None:
            request["seed"] = sampling.seed
        async with slots:
            try:
                answer: object = await client.chat.completions.create(**request, timeout=_timeout_s())
            except APIError as error:
                raise self._explain(error) from error
            except ValueError as error:
                raise _NoCompletionError(f"with what is no JSON: {error}") from None
        return _completions(answer)

    def _client(self) -> tuple[AsyncOpenAI, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = AsyncOpenAI(
                base_url=self._config.base_url,
                api_key=os.environ.get(self._config.api_key_env) or "none",
                max_retries=MAX_RETRIES,
                timeout=REQUEST_TIMEOUT_S,
            )
            self._clients[loop] = client, asyncio.Semaphore(self._config.max_concurrency)
        return self._clients[loop]

    def _explain(self, error: APIError) -> EngineError:
        where = self._config.base_url
        if isinstance(error, APITimeoutError):
            return EngineTimeout(f"{where} did not answer in time, and not when it was asked again")
        if isinstance(error, APIConnectionError):
            return EngineError(
                f"{where} cannot be reached ({error.__cause__ or error}): check engine.base_url and the server"
            )
        status = error.status_code if isinstance(error, APIStatusError) else 0
        advice = _ADVICE.get(status, "see the server's log").format(
            key_env=self._config.api_key_env, model=self._config.model
        )
        return EngineError(f"{where} refused the request: {error.message}; {advice}")


def _single(sampling: Sampling, turn: int) -> Sampling:
    """For one completion, with a seed of its own: with one seed for all, all would be equal."""
    return replace(sampling, n=1, seed=None if sampling.seed is None else sampling.seed + turn)


class _NoCompletionError(Exception):
    """The server answered, but not with a chat completion. The message says with what."""


def _completions(answer: object) -> list[Completion]:
    """The completions in an answer. The client has checked nothing: it takes any JSON that the server sends."""
    choices = answer.choices if isinstance(answer, ChatCompletion) else None
    if not isinstance(choices, list):
        raise _NoCompletionError("with what is no chat completion")
    if not choices:
        raise _NoCompletionError("without a completion")
    used = answer.usage.completion_tokens if isinstance(answer, ChatCompletion) and answer.usage else 0
    tokens = used // len(choices) if isinstance(used, int) else 0
    return [_completion(choice, tokens) for choice in choices]


def _completion(choice: Any, tokens: int) -> Completion:
    content = getattr(getattr(choice, "message", None), "content", ())
    finish_reason = getattr(choice, "finish_reason", None) or "stop"
    if not isinstance(content, str | None) or not isinstance(finish_reason, str):
        raise _NoCompletionError("with a completion that has no text")
    return Completion(content or "", finish_reason, tokens)


def _timeout_s() -> float:
    """How long the next request may take: see `SHORTEST_PATIENCE_S`."""
    left_s = current_deadline().left_s
    return REQUEST_TIMEOUT_S if left_s is None else min(left_s, max(SHORTEST_PATIENCE_S, left_s / 2))
