"""A tokenizer's chat template, read backwards: what it writes around the turns is found by rendering known turns."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from grm_plugin._util.packages import require
from grm_plugin.conversation.chat_formats import FORMATS, is_generation_prompt
from grm_plugin.errors import PromptError
from grm_plugin.types import Conversation, Message, message_dicts

# Words that no template trims, escapes or splits, and that stand in none.
_SYSTEM = Message("system", "firstsentinelsystem")
_CHAT = (
    Message("user", "secondsentineluser"),
    Message("assistant", "thirdsentinelassistant"),
    Message("user", "fourthsentineluser"),
)


@dataclass(frozen=True, slots=True)
class TemplateReader:
    """What the template writes before, between and after the turns of a chat.

    `head` precedes the first user turn, or `system_head` a system turn (None: the template has no such turn).
    `generation` is the generation prompt, behind the last user turn.
    """

    head: str
    system_head: str | None
    system_to_user: str
    user_to_assistant: str
    assistant_to_user: str
    generation: str

    def read(self, text: str) -> Conversation | None:
        """The turns; None if the text does not fit the template."""
        if self.system_head is not None and text.startswith(self.system_head):
            turns = self._turns(text, len(self.system_head), "system")
        else:
            turns = None
        if turns is None and text.startswith(self.head):
            turns = self._turns(text, len(self.head), "user")
        return turns

    def _turns(self, text: str, position: int, role: str) -> Conversation | None:
        # A reasoning model may be prompted with an opening <think>, which the template does not always write.
        generation = self.generation.rstrip()
        end = text.rfind(generation)
        if end < position or not is_generation_prompt(text[end + len(generation) :]):
            return None
        following = {
            "system": ("user", self.system_to_user),
            "user": ("assistant", self.user_to_assistant),
            "assistant": ("user", self.assistant_to_user),
        }
        turns: list[Message] = []
        while True:
            next_role, separator = following[role]
            stop = text.find(separator, position, end)
            turns.append(Message(role, text[position : end if stop < 0 else stop]))
            if stop < 0:
                break
            position, role = stop + len(separator), next_role
        if role != "user":
            return None
        return tuple(turn for turn in turns if turn.role != "system" or turn.content)


def invert_chat_template(tokenizer: str) -> Callable[[str], Conversation | None]:
    """A reader for the prompts that this tokenizer's chat template writes.

    A template that turns out to be one of the well-known formats is read as that format, which also takes tool turns
    and dates in the system turn. Any other one must alternate user and assistant turns.

    Args:
        tokenizer: folder or Hugging Face id.

    Raises:
        ConfigError: transformers is not installed.
        PromptError: the tokenizer cannot be loaded, has no chat template, or writes turns that cannot be told apart.
    """
    require("transformers", what="conversation.format tokenizer")
    from transformers import AutoTokenizer  # heavy: loaded only for this format

    advice = f"set conversation.format to one of {', '.join(FORMATS)} or plain"
    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
        chat = _render(loaded, _CHAT)
    except (OSError, ValueError, TypeError, KeyError, jinja2.TemplateError) as error:
        raise PromptError(
            f"conversation.tokenizer: {tokenizer} has no usable chat template ({error}); give another, or {advice}"
        ) from None
    for known in FORMATS.values():
        if _spoken(known.read(chat)) == _CHAT:
            return known.read
    reader = _derive(loaded, chat)
    if reader is None or _spoken(reader.read(chat)) != _CHAT:
        raise PromptError(
            f"conversation.tokenizer: the turns in the chat template of {tokenizer} cannot be told apart; {advice}"
        )
    return reader.read


def _spoken(turns: Conversation | None) -> Conversation:
    """The turns without the system turn that some templates add by themselves."""
    return tuple(turn for turn in turns or () if turn.role != "system")


def _derive(tokenizer: Any, chat: str) -> TemplateReader | None:
    """The reader for a template that rendered `_CHAT` as `chat`; None if its turns cannot be told apart."""
    pieces = _split(chat, _CHAT)
    if pieces is None or not all(piece.strip() for piece in pieces[1:]):
        return None
    head, user_to_assistant, assistant_to_user, generation = pieces
    system_head, system_to_user = None, ""
    with contextlib.suppress(jinja2.TemplateError):  # many templates refuse system turns
        with_system = _split(_render(tokenizer, (_SYSTEM, *_CHAT)), (_SYSTEM, *_CHAT))
        # A system text that merely stands before the first user text, in the same turn, is no turn of its own.
        if with_system and with_system[0] != head and with_system[1].strip():
            system_head, system_to_user = with_system[:2]
    return TemplateReader(head, system_head, system_to_user, user_to_assistant, assistant_to_user, generation)


def _split(rendered: str, turns: Sequence[Message]) -> list[str] | None:
    """The text before, between and after the turns; None if one of them is missing, doubled or out of place."""
    pieces = []
    for turn in turns:
        piece, found, rendered = rendered.partition(turn.content)
        if not found or turn.content in rendered:
            return None
        pieces.append(piece)
    return [*pieces, rendered]


def _render(tokenizer: Any, turns: Sequence[Message]) -> str:
    messages = message_dicts(turns)
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
