"""The requests that one OpenAI-compatible server takes.

No two take the same. What a server refuses is put in another way or left out, once, and remembered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from grm_plugin.config import OpenAIConfig
from grm_plugin.engines.openai_refusals import Refusal
from grm_plugin.engines.vllm_sampling import SHORTEST_PATTERN
from grm_plugin.types import Prompt, Sampling, message_dicts

logger = logging.getLogger(__name__)

MAX_TOKENS_NAMES = ("max_tokens", "max_completion_tokens")

_NEUTRAL = {"temperature": 1.0, "top_p": 1.0}
"""Values that change nothing: a server may refuse them for any reason."""

_MEANS = {
    "temperature": "sampling.temperature %s is not applied, the server's own one counts",
    "top_p": "sampling.top_p %s is not applied, the server's own one counts",
    "seed": "sampling.seed is not sent, and votes cannot be repeated",
    "n": "it is left out",
}
"""What it means for the user that a parameter is left out."""

_ADVICE = {
    "temperature": "set sampling.temperature to a value that the server takes",
    "top_p": "set sampling.top_p to a value that the server takes",
    "seed": "leave sampling.seed out",
    "chat_template_kwargs": "leave engine.chat_template_kwargs out: this server does not take it",
    **dict.fromkeys(
        MAX_TOKENS_NAMES, "see engine.max_tokens_name, and set sampling.max_tokens to a value that the server takes"
    ),
}


IMPOSSIBLE: Mapping[str, Any] = {
    "thinking_token_budget": -7,
    "repetition_detection": {"max_pattern_size": -1, "min_pattern_size": 0, "min_count": 0},
}
"""By the fields of `limits`: a value that every server refuses which knows the field."""

_KEYS = {"thinking_token_budget": "sampling.thinking_tokens", "repetition_detection": "sampling.repetition"}


def limits(sampling: Sampling) -> dict[str, Any]:
    """Fields of vLLM's server that bound a completion. They are never left out: the request would mean something else.

    At the top of the request: inside an "extra_body", as some documentation has it, the server does not look for them.
    """
    fields: dict[str, Any] = {}
    if sampling.thinking_max is not None:
        fields["thinking_token_budget"] = sampling.thinking_max
    if sampling.repetition is not None:
        longest, times = sampling.repetition
        shortest = min(SHORTEST_PATTERN, longest)
        fields["repetition_detection"] = {
            "max_pattern_size": longest, "min_pattern_size": shortest, "min_count": times
        }  # fmt: skip
    return fields


def cannot(name: str) -> str:
    """What to do about a field of `limits` that a server does not take."""
    return f"leave {_KEYS[name]} out, or serve the model with a vLLM that knows {name} and the marks of its thinking"


class Dialect:
    """How requests are put to a server, as far as its refusals have told. May be shared by event loops."""

    def __init__(self, config: OpenAIConfig) -> None:
        self._config = config
        self._extra = dict(config.extra_body)
        if config.chat_template_kwargs:
            self._extra["chat_template_kwargs"] = config.chat_template_kwargs
        self._max_tokens_name: str = config.max_tokens_name
        self._left_out: set[object] = set()
        """Parameters; or pairs of a parameter and a value, where another value may be taken."""
        self.one_by_one = False
        """Whether the server gives one completion per request only."""

    @property
    def max_tokens_name(self) -> str:
        return MAX_TOKENS_NAMES[0] if self._max_tokens_name == "auto" else self._max_tokens_name

    def request(self, prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
        """The body of `POST /chat/completions`."""
        options = {
            "n": 1 if self.one_by_one else sampling.n,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.max_tokens_name: sampling.max_tokens,
        }
        if sampling.seed is not None:
            options["seed"] = sampling.seed
        kept = {name: value for name, value in options.items() if not {name, (name, value)} & self._left_out}
        messages = message_dicts(prompt.messages)
        return {"model": self._config.model, "messages": messages, **kept, **limits(sampling), **self._extra}

    def parameters(self, request: Mapping[str, Any]) -> list[str]:
        """The names of a request's parameters."""
        return [name for name in request if name not in ("model", "messages")]

    def learn(self, refusal: Refusal, request: Mapping[str, Any]) -> None:
        """Change the next requests so that what a server refused in this one is met, if it can be."""
        name = refusal.named[0] if refusal.named else ""
        if name == "n" and request["n"] > 1:
            if not self.one_by_one:
                self.one_by_one = True
                self._warn("takes one completion per request", "k votes are k requests")
        elif name in MAX_TOKENS_NAMES:
            other = MAX_TOKENS_NAMES[name == MAX_TOKENS_NAMES[0]]
            if self._max_tokens_name == "auto" and (refusal.unsupported or refusal.asks_for(other)):
                self._max_tokens_name = other
                self._warn(f"does not take {name}", f"{other} is sent (engine.max_tokens_name)")
        elif name in _MEANS and name in request:
            value = request[name]
            # A seed is another one each time, and n = 1 says nothing: they are refused as such, not for their value.
            what = name if name in ("seed", "n") else (name, value)
            if what not in self._left_out and (refusal.unsupported or value == _NEUTRAL.get(name)):
                self._left_out.add(what)
                self.one_by_one |= name == "n"
                self._warn(f"does not take {name}", _MEANS[name].replace("%s", f"{value:g}"))

    def advice(self, refusal: Refusal) -> str:
        """What a user can do about a refusal that was not met."""
        name = refusal.named[0] if refusal.named else ""
        if name in IMPOSSIBLE:
            return cannot(name)
        if name in self._config.extra_body:
            return f"correct engine.extra_body.{name}"
        return _ADVICE.get(name, "see the server's log; what it wants besides goes into engine.extra_body")

    def _warn(self, what: str, so: str) -> None:
        # Not the server's words: they may quote the prompt.
        logger.warning("the server at %s %s: %s", self._config.base_url, what, so)
