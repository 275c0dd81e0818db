"""The GRM behind any OpenAI-compatible server, through the official client."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
)
from openai.types.chat import ChatCompletion

from grm_plugin._util.deadline import current_deadline
from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai_dialect import Dialect
from grm_plugin.engines.openai_refusals import Refusal, read_refusal
from grm_plugin.engines.proxies import proxy_variable, transport_arguments
from grm_plugin.errors import EngineError, EngineTimeout, PromptTooLong
from grm_plugin.judging.seams import as_asked, as_often_as_wanted
from grm_plugin.types import UNKNOWN_FINISH, Completion, Prompt, Sampling

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 600.0
"""Longest wait for an answer where the caller has no deadline."""

SHORTEST_PATIENCE_S = 60.0
"""A request is given up when half of the caller's time has passed, so that another one has a chance, but not before so
many seconds: a slow answer is not to be taken for one that never comes."""

MAX_RETRIES = 4
"""Repeats after a lost connection, 408, 409, 429 or 5xx, with growing pauses or the one that Retry-After asks for."""

GARBAGE_TRIES, GARBAGE_PAUSE_S = 3, 0.5
"""Tries in all, and the pause between them, where the server answers with something else than a completion."""

MENDABLE = {400, 422, 500, 501}
"""Statuses of refusals that another request may escape. llama.cpp's server says 500 to several completions."""

_ADVICE = {
    401: "check the key in the environment variable {key_env} (engine.api_key_env)",
    403: "check the key in the environment variable {key_env} (engine.api_key_env)",
    404: "check engine.model ({model}) and that engine.base_url ends with the API's version, such as /v1",
    429: "the server is overloaded or the quota is used up: lower engine.max_concurrency",
}
_OF_A_PROXY = {403, 407, 502, 503, 504}
"""Statuses with which a proxy says that it does not get through."""


class OpenAIEngine:
    """A `Generator` over `POST {base_url}/chat/completions`.

    Asks for n completions in one request. Those that are missing, because the server ignores `n`, are asked for one by
    one; so are all, once the server has refused an n above 1. A parameter that the server refuses is renamed or left
    out, and a warning says so (`Dialect`). At most `max_concurrency` requests are in flight. May be used from several
    event loops.

    A request that fails is repeated while the caller's deadline allows it: the server may be overloaded, or restart.
    One that takes more than half of the time left is taken for lost, and sent once more.
    """

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._dialect = Dialect(config)
        self._thought_only = False
        # Connections and semaphores belong to the event loop that made them.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[AsyncOpenAI, asyncio.Semaphore]]
        self._clients = WeakKeyDictionary()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        asked = as_asked(sampling)
        completions: list[Completion] = []
        if not self._dialect.one_by_one:
            completions = await self._ask_repeatedly(prompt, asked)
        if len(completions) < asked.n:
            singles = await asyncio.gather(
                *(self._ask_repeatedly(prompt, _single(asked, turn)) for turn in range(len(completions), asked.n)),
                return_exceptions=True,
            )
            completions += [completion for answer in singles if isinstance(answer, list) for completion in answer]
            if not completions:  # some missing ones are lost votes; of all, the caller is told why
                raise next(answer for answer in singles if isinstance(answer, BaseException))
        return as_often_as_wanted(completions[: asked.n], sampling)

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
        """One answer of the server, which may have refused the request in other forms before."""
        client, slots = self._client()
        async with slots:
            while True:
                request = self._dialect.request(prompt, sampling)
                try:
                    answer: object = await client.chat.completions.create(**request, timeout=_timeout_s())
                    break
                except APIStatusError as error:
                    refusal = read_refusal(error.body or error.message, self._dialect.parameters(request))
                    if error.status_code in MENDABLE and not refusal.too_long:
                        if refusal.cut:
                            return [Completion("", "length", sampling.max_tokens)] * sampling.n
                        self._dialect.learn(refusal, request)
                        if self._dialect.request(prompt, sampling) != request:
                            continue
                    raise self._explain_status(error, refusal) from error
                except APIError as error:
                    raise self._explain(error) from error
                except ValueError as error:
                    raise _NoCompletionError(f"with what is no JSON: {error}") from None
        self._warn_of_thoughts(answer)
        return _completions(answer)

    def _client(self) -> tuple[AsyncOpenAI, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            try:
                client = AsyncOpenAI(
                    base_url=self._config.base_url,
                    api_key=os.environ.get(self._config.api_key_env) or "none",
                    max_retries=MAX_RETRIES,
                    timeout=REQUEST_TIMEOUT_S,
                    http_client=DefaultAsyncHttpxClient(**transport_arguments(self._config.base_url)),
                )
            except Exception as error:  # an address or a proxy that is none; or a SOCKS proxy without its package
                variable = proxy_variable(self._config.base_url)
                raise EngineError(
                    f"no connection can be made to {self._config.base_url} ({error}): check engine.base_url"
                    + (f" and the environment variable {variable}" if variable else "")
                ) from None
            self._clients[loop] = client, asyncio.Semaphore(self._config.max_concurrency)
        return self._clients[loop]

    def _explain(self, error: APIError) -> EngineError:
        where, variable = self._config.base_url, proxy_variable(self._config.base_url)
        through = f" through the proxy in the environment variable {variable}" if variable else ""
        if isinstance(error, APITimeoutError):
            return EngineTimeout(f"{where} did not answer in time{through}, and not when it was asked again")
        if isinstance(error, APIConnectionError):
            what = "that proxy, or name the host in NO_PROXY" if variable else "engine.base_url and the server"
            return EngineError(f"{where} cannot be reached{through} ({error.__cause__ or error}): check {what}")
        return EngineError(f"{where} refused the request: {error.message}; see the server's log")

    def _explain_status(self, error: APIStatusError, refusal: Refusal) -> EngineError:
        where, status = self._config.base_url, error.status_code
        said = error.message
        if " - " not in said:  # the client finds the reason only where OpenAI has it
            said += f" - {' '.join(refusal.text.split())}"
        if refusal.too_long and status in MENDABLE | {413}:
            return PromptTooLong(
                f"{where} refused the request: {said}; show less (judge.list_size, judge.max_response_chars) or lower "
                "sampling.max_tokens"
            )
        advice = _ADVICE.get(status, "").format(key_env=self._config.api_key_env, model=self._config.model)
        advice = advice or self._dialect.advice(refusal)
        if status in _OF_A_PROXY and (variable := proxy_variable(where)):
            advice += f"; or check the proxy in the environment variable {variable}"
        return EngineError(f"{where} refused the request: {said}; {advice}")

    def _warn_of_thoughts(self, answer: object) -> None:
        """Say once that a thinking model gave no answer: its reasoning, which the server keeps apart, is no vote."""
        if self._thought_only or not isinstance(answer, ChatCompletion):
            return
        for choice in answer.choices or ():
            message = getattr(choice, "message", None)
            thoughts = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
            if thoughts and not getattr(message, "content", None):
                self._thought_only = True
                logger.warning(
                    "%s thought and gave no answer, which is a lost vote: raise sampling.max_tokens, or turn thinking "
                    "off (engine.chat_template_kwargs, or what the server has for it in engine.extra_body)",
                    self._config.model,
                )
                return


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
    finish_reason = getattr(choice, "finish_reason", None) or UNKNOWN_FINISH
    if not isinstance(content, str | None) or not isinstance(finish_reason, str):
        raise _NoCompletionError("with a completion that has no text")
    return Completion(content or "", finish_reason, tokens)


def _timeout_s() -> float:
    """How long the next request may take: see `SHORTEST_PATIENCE_S`."""
    left_s = current_deadline().left_s
    return REQUEST_TIMEOUT_S if left_s is None else min(left_s, max(SHORTEST_PATIENCE_S, left_s / 2))
