"""The well-known chat formats, read backwards: prompt text -> turns.

A format is described by how a turn opens and how it closes. Sources are the chat templates shipped with the models:
ChatML (Qwen), Llama 3.x, Gemma 2/3 (a system turn is part of the first user turn there), DeepSeek V2.5/V3/R1, Mistral.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grm_plugin.types import Conversation, Message

_BOS = re.compile(r"(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>|<｜begin▁of▁sentence｜>|\s)*+")
_GENERATION_PROMPT = re.compile(r"\s*+(?:<think>)?+\s*+(?:</think>)?+\s*+")
_ROLES = {"model": "assistant", "inst": "user", "/inst": "assistant", "system_prompt": "system", "ipython": "tool"}


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """One format. `opening` has a group `role`; `closing` ends every turn, or assistant turns only.

    `marker` is a text that stands in every prompt of the format, by which it is recognised. With `bare_system`, what
    precedes the first opening is a system turn; otherwise nothing may stand there.
    """

    marker: str
    opening: re.Pattern[str]
    closing: str
    only_assistant_closes: bool = False
    bare_system: bool = False

    def read(self, text: str) -> Conversation | None:
        """The turns, without the generation prompt at the end; None if the text does not fit the format."""
        openings = list(self.opening.finditer(text))
        if not openings:
            return None
        turns: list[Message] = []
        before = _BOS.sub("", text[: openings[0].start()], count=1)
        if before.strip():
            if not self.bare_system:
                return None
            turns.append(Message("system", before))
        for opening, following in zip(openings, [*openings[1:], None], strict=True):
            role = opening["role"].lower()
            role = _ROLES.get(role, role)
            body = text[opening.end() : following.start() if following else len(text)]
            content = self._closed(role, body)
            if content is not None:
                turns.append(Message(role, content))
            elif following:
                return None
            elif role != "assistant" or not is_generation_prompt(body):
                turns.append(Message(role, body))
        return tuple(turns) or None

    def _closed(self, role: str, body: str) -> str | None:
        """The content of a turn that ends as the format says; None if its end is missing."""
        if self.only_assistant_closes and role != "assistant":
            return body
        body = body.rstrip()
        return body.removesuffix(self.closing) if body.endswith(self.closing) else None


def is_generation_prompt(text: str) -> bool:
    """Whether an assistant turn that has no end is for the policy to fill: blank, or an opened (or empty) `<think>`."""
    return _GENERATION_PROMPT.fullmatch(text) is not None


FORMATS = {
    "chatml": ChatFormat("<|im_start|>", re.compile(r"<\|im_start\|>(?P<role>\w++)\n"), "<|im_end|>"),
    "llama3": ChatFormat(
        "<|start_header_id|>",
        re.compile(r"<\|start_header_id\|>(?P<role>\w++)<\|end_header_id\|>\n\n"),
        "<|eot_id|>",
    ),
    "gemma": ChatFormat("<start_of_turn>", re.compile(r"<start_of_turn>(?P<role>\w++)\n"), "<end_of_turn>"),
    "deepseek": ChatFormat(
        "<｜User｜>",
        re.compile(r"<｜(?P<role>User|Assistant)｜>"),
        "<｜end▁of▁sentence｜>",
        only_assistant_closes=True,
        bare_system=True,
    ),
    "mistral": ChatFormat(
        "[INST]",
        re.compile(r"(?:\[/SYSTEM_PROMPT\])?+ ?+\[(?P<role>INST|/INST|SYSTEM_PROMPT)\] ?+"),
        "</s>",
        only_assistant_closes=True,
    ),
}
