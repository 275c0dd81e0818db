"""Reads the replies of an OpenAI-compatible server: nothing in them is what it should be until it was looked at."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec

from grm_plugin.types import UNKNOWN_FINISH, Completion

MOST_TOKENS = 2**31
"""A server that says that it generated more does not count."""


class NoCompletionError(Exception):
    """The server answered, but not with a chat completion. The message says with what."""


class Answer(NamedTuple):
    """A chat completion as read.

    Attributes:
        completions: at least one, as many as the server sent.
        only_thought: whether one of them is reasoning without an answer.
    """

    completions: list[Completion]
    only_thought: bool


class _Message(msgspec.Struct):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    finish_reason: Any = None


class _ChatCompletion(msgspec.Struct):
    choices: list[_Choice | None] | None = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_ChatCompletion)


def read_answer(body: bytes) -> Answer:
    """Read the body of a reply with status 200.

    Raises:
        NoCompletionError: it is no chat completion, or has none in it.
    """
    answer = _decoded(body)
    if answer.choices is None:
        raise NoCompletionError("with what is no chat completion")
    if not answer.choices:
        raise NoCompletionError("without a completion")
    used = answer.usage.get("completion_tokens") if isinstance(answer.usage, dict) else 0
    tokens = used // len(answer.choices) if isinstance(used, int) and 0 < used < MOST_TOKENS else 0
    completions = [_completion(choice, tokens) for choice in answer.choices]
    return Answer(completions, any(_only_thought(choice) for choice in answer.choices))


def read_refusal_body(body: bytes) -> object:
    """What stands under `error` in the body of a refusal; else its JSON, or its text where it is none."""
    text = body.decode(errors="replace").strip()
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return said.get("error", said) if isinstance(said, dict) else said


def _decoded(body: bytes) -> _ChatCompletion:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise NoCompletionError("with what is no chat completion") from None
    except (ValueError, RecursionError):
        pass  # the standard library takes more: NaN among log probabilities, half of a surrogate pair
    try:
        return msgspec.convert(json.loads(body), _ChatCompletion)
    except msgspec.ValidationError:
        raise NoCompletionError("with what is no chat completion") from None
    except (ValueError, RecursionError) as error:
        raise NoCompletionError(f"with what is no JSON: {error}") from None


def _completion(choice: _Choice | None, tokens: int) -> Completion:
    message = choice.message if choice else None
    finish_reason = (choice.finish_reason if choice else None) or UNKNOWN_FINISH
    if message is None or not isinstance(message.content, str | None) or not isinstance(finish_reason, str):
        raise NoCompletionError("with a completion that has no text")
    return Completion(message.content or "", finish_reason, tokens)


def _only_thought(choice: _Choice | None) -> bool:
    message = choice.message if choice else None
    return bool(message and not message.content and (message.reasoning_content or message.reasoning))
