"""Conversations as token ids, by the chat template of a model's tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from grm_plugin.errors import EngineError
from grm_plugin.types import Conversation, Message, message_dicts

_ASKED: Conversation = (Message("user", "ready?"),)
_ANSWERED: Conversation = (*_ASKED, Message("assistant", "ready"))


def token_ids(
    tokenizer: Any,
    conversation: Conversation,
    add_generation_prompt: bool,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[int]:
    """Token ids of a conversation in the model's own chat template, which gets `template_kwargs` besides."""
    try:
        text = _rendered(tokenizer, conversation, add_generation_prompt, template_kwargs or {})
    except Exception as error:  # whatever jinja2, transformers or the template raises
        raise EngineError(f"the model's chat template cannot render the prompt: {error}") from None
    # The template has already written the special tokens.
    return list(tokenizer.encode(text, add_special_tokens=False))


def check_template(tokenizer: Any, for_generation: bool, template_kwargs: Mapping[str, Any]) -> None:
    """Check that a tokenizer renders what its model will be asked: a question, or one with its answer to be rated.

    Raises:
        EngineError: it has no chat template, or one that fails; every request would fail.
    """
    try:
        token_ids(tokenizer, _ASKED if for_generation else _ANSWERED, for_generation, template_kwargs)
    except EngineError as error:
        raise EngineError(
            f"{error}; take a model that was trained to chat, or put a chat_template.jinja into its folder"
        ) from None


def end_tokens(tokenizer: Any, template_kwargs: Mapping[str, Any]) -> list[int]:
    """The token with which the chat template ends an answer, if it is one of the tokenizer's own; else empty.

    A model's `generation_config.json` may lack it: then no critique would end before `sampling.max_tokens`.
    """
    try:
        text = _rendered(tokenizer, _ANSWERED, False, template_kwargs)
        behind = text.rpartition(_ANSWERED[-1].content)[2].lstrip()
        first = tokenizer.encode(behind, add_special_tokens=False)[:1]
        return [
            token for token in first if token in {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        ]
    except Exception:  # a template that takes no answers, a tokenizer of another kind: vLLM's own ends are left
        return []


def unread_by_template(tokenizer: Any, template_kwargs: Mapping[str, Any]) -> list[str]:
    """The arguments that stand nowhere in a tokenizer's chat template, so that they change nothing: misspelt ones.

    Empty where the tokenizer has no template that can be read: some write the chat format in Python.
    """
    templates = getattr(tokenizer, "chat_template", None)
    text = "\n".join(templates.values()) if isinstance(templates, dict) else templates
    if not isinstance(text, str):
        return []
    return [name for name in template_kwargs if not re.search(rf"\b{re.escape(name)}\b", text)]


def _rendered(
    tokenizer: Any, conversation: Conversation, add_generation_prompt: bool, template_kwargs: Mapping[str, Any]
) -> str:
    options = {"tokenize": False, "add_generation_prompt": add_generation_prompt, **template_kwargs}
    text: str = tokenizer.apply_chat_template(message_dicts(conversation), **options)
    return text
