"""Finds the conversation in the prompt text that the policy is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from grm_plugin._util.fences import broken_up
from grm_plugin._util.text import encodable
from grm_plugin.conversation.chat_formats import FORMATS
from grm_plugin.conversation.chat_template import invert_chat_template
from grm_plugin.conversation.media import refuse_placeholders
from grm_plugin.errors import PromptError
from grm_plugin.types import Conversation, Message

Format = Literal["auto", "plain", "chatml", "llama3", "gemma", "deepseek", "mistral", "tokenizer"]


class ConversationReader:
    """Turns the policy's prompt text back into a conversation.

    Args:
        format: a named chat format; `auto` recognises the named ones; `plain` takes the text as one user turn;
            `tokenizer` inverts the chat template of `tokenizer`.
        tokenizer: folder or Hugging Face id of the policy, for format `tokenizer`.

    Raises:
        PromptError: the chat template of `tokenizer` cannot be inverted, or no tokenizer is given.
    """

    def __init__(self, format: Format = "auto", tokenizer: str | None = None) -> None:
        self._read: Callable[[str], Conversation | None]
        if format == "auto":
            self._read = _recognise
        elif format == "plain":
            self._read = _no_turns
        elif format != "tokenizer":
            self._read = FORMATS[format].read
        elif tokenizer is not None:
            self._read = invert_chat_template(tokenizer)
        else:
            raise PromptError("conversation.format is 'tokenizer': set conversation.tokenizer to a folder or id")

    def read(self, prompt: str) -> Conversation:
        """The turns of a prompt, without the generation prompt at its end.

        A prompt that does not fit the format is one user turn with the whole text: no text is ever lost.

        Raises:
            PromptError: the prompt holds a token that stands for an image, a sound or a video.
        """
        text = encodable(prompt)
        refuse_placeholders(text)
        turns = self._read(text) or (Message("user", text),)
        return tuple(Message(turn.role, broken_up(turn.content)) for turn in turns)


def _recognise(text: str) -> Conversation | None:
    present = (known for known in FORMATS.values() if known.marker in text)
    return next((turns for known in present if (turns := known.read(text))), None)


def _no_turns(text: str) -> None:
    """Format `plain`: no prompt is read as turns."""
