"""The GRM behind any OpenAI-compatible server."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import msgspec

from grm_plugin._util.http_calls import NoReplyError, Reply
from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai_dialect import IMPOSSIBLE, Dialect, cannot, limits
from grm_plugin.engines.openai_refusals import TEXT_CHARS, Refusal, read_refusal
from grm_plugin.engines.openai_replies import NoCompletionError, read_answer, read_refusal_body
from grm_plugin.engines.openai_retries import post_repeatedly
from grm_plugin.engines.openai_transport import Connections, Transport
from grm_plugin.engines.proxies import proxy_variable
from grm_plugin.errors import EngineError, EngineRefusal, EngineTimeout, PromptTooLong
from grm_plugin.judging.seams import as_asked, as_often_as_wanted
from grm_plugin.types import Completion, Prompt, Sampling

logger = logging.getLogger(__name__)

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
_FOR_GOOD = {401, 403, 404}
"""Statuses that every request will get."""
_REDIRECTED = range(300, 400)
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
        self._transport = Transport(config)
        self._thought_only = False
        self._limits_known: set[str] = set()

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        asked = as_asked(sampling)
        await self._check_limits(prompt, asked)
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

    async def _check_limits(self, prompt: Prompt, asked: Sampling) -> None:
        """Ask the server, once, for a limit that cannot be: where it does not mind, it does not know the field.

        Raises:
            EngineRefusal: so it is. A server that ignores the field would let the GRM think without a limit.
        """
        for name in limits(asked).keys() - self._limits_known:
            single = replace(asked, n=1, max_tokens=1)
            request = self._dialect.request(prompt, single) | {name: IMPOSSIBLE[name]}
            connections = await self._connections()
            async with connections.slots:
                reply = await self._reply(connections, msgspec.json.encode(request))
            if reply.status < 300:
                raise EngineRefusal(f"{self._config.base_url} ignores {name}: {cannot(name)}")
            self._limits_known.add(name)

    async def _ask_repeatedly(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """`_ask`, repeated where the server answers with something else than a completion."""
        for tries_left in range(GARBAGE_TRIES - 1, -1, -1):
            try:
                return await self._ask(prompt, sampling)
            except NoCompletionError as error:
                if not tries_left:
                    raise EngineError(
                        f"{self._config.base_url} answered {error}; try the same request by hand"
                    ) from None
            await asyncio.sleep(GARBAGE_PAUSE_S)
        raise AssertionError("unreachable")

    async def _ask(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """One answer of the server, which may have refused the request in other forms before."""
        connections = await self._connections()
        async with connections.slots:
            while True:
                request = self._dialect.request(prompt, sampling)
                reply = await self._reply(connections, msgspec.json.encode(request))
                if reply.status < 300:
                    break
                body = read_refusal_body(reply.body)
                refusal = read_refusal(body, self._dialect.parameters(request))
                if reply.status in MENDABLE and not refusal.too_long:
                    if refusal.cut:
                        return [Completion("", "length", sampling.max_tokens)] * sampling.n
                    self._dialect.learn(refusal, request)
                    if self._dialect.request(prompt, sampling) != request:
                        continue
                raise self._explain_refusal(reply, body, refusal)
        answer = read_answer(reply.body)
        if answer.only_thought and not self._thought_only:
            self._thought_only = True
            logger.warning(
                "%s thought and gave no answer, which is a lost vote: raise sampling.max_tokens, or turn thinking "
                "off (engine.chat_template_kwargs, or what the server has for it in engine.extra_body)",
                self._config.model,
            )
        return answer.completions

    async def _connections(self) -> Connections:
        try:
            return await self._transport.connections()
        except ValueError as error:
            variable = proxy_variable(self._config.base_url)
            raise EngineError(
                f"no connection can be made to {self._config.base_url} ({error}): check engine.base_url"
                + (f" and the environment variable {variable}" if variable else "")
            ) from None

    async def _reply(self, connections: Connections, body: bytes) -> Reply:
        try:
            return await post_repeatedly(lambda timeout_s: connections.post(body, timeout_s), MAX_RETRIES)
        except (TimeoutError, NoReplyError) as error:
            where, variable = self._config.base_url, proxy_variable(self._config.base_url)
            through = f" through the proxy in the environment variable {variable}" if variable else ""
            if isinstance(error, TimeoutError):
                raise EngineTimeout(
                    f"{where} did not answer in time{through}, and not when it was asked again"
                ) from error
            what = "that proxy, or name the host in NO_PROXY" if variable else "engine.base_url and the server"
            raise EngineError(f"{where} cannot be reached{through} ({error}): check {what}") from error

    def _explain_refusal(self, reply: Reply, body: object, refusal: Refusal) -> EngineError:
        where, status = self._config.base_url, reply.status
        message = body.get("message") if isinstance(body, dict) else None
        said = message[:TEXT_CHARS] if isinstance(message, str) and message else " ".join(refusal.text.split())
        said = f"Error code: {status}" + (f" - {said}" if said else "")
        if refusal.too_long and status in MENDABLE | {413}:
            return PromptTooLong(
                f"{where} refused the request: {said}; show less (judge.list_size, judge.max_response_chars) or lower "
                "sampling.max_tokens"
            )
        advice = _ADVICE.get(status, "").format(key_env=self._config.api_key_env, model=self._config.model)
        if status in _REDIRECTED:
            target = reply.headers.get("Location", "")[:TEXT_CHARS]
            advice = f"it sends requests on to {target!r}: correct engine.base_url"
        advice = advice or self._dialect.advice(refusal)
        if status in _OF_A_PROXY and (variable := proxy_variable(where)):
            advice += f"; or check the proxy in the environment variable {variable}"
        for_good = status in _FOR_GOOD or (refusal.named and refusal.named[0] in IMPOSSIBLE)
        kind = EngineRefusal if for_good else EngineError
        return kind(f"{where} refused the request: {said}; {advice}")


def _single(sampling: Sampling, turn: int) -> Sampling:
    """For one completion, with a seed of its own: with one seed for all, all would be equal."""
    return replace(sampling, n=1, seed=None if sampling.seed is None else sampling.seed + turn)
