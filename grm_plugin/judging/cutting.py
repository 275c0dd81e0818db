"""Cuts texts to the length that the GRM reads: reasoning gives way first, then tool output, the answer last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from grm_plugin._util.fences import REASONING, Part, parts_of
from grm_plugin._util.reasoning import split_reasoning
from grm_plugin.config import JudgeConfig
from grm_plugin.types import Message

SHORTEST_SHARE = 64
"""A piece of reasoning or of a tool's text is shown with at least so many characters, or not at all."""


def cut_middle(text: str, limit: int) -> tuple[str, int]:
    """At most `limit` characters of the text, three quarters from its start and the rest from its end.

    Returns:
        The text, with a line between the two parts that says how much is missing; and the number of characters cut.
    """
    cut = len(text) - limit
    if cut <= 0:
        return text, 0
    head = limit * 3 // 4
    return f"{text[:head]}\n[... {cut} characters cut ...]\n{text[head + cut :]}", cut


def cut_turn(turn: Message, config: JudgeConfig) -> Message:
    """A turn of the conversation, its tool calls, their results and its reasoning cut as the configuration says."""
    if turn.role == "assistant":
        parts = _parts(turn.content)
    else:
        parts = parts_of(turn.content)
        if turn.role == "tool" and not any(part.kind for part in parts):  # of a prompt that came as a text
            return replace(turn, content=cut_middle(turn.content, config.max_tool_chars)[0])
    limits = {"": len(turn.content), REASONING: config.max_response_chars}
    texts = (
        ""
        if part.kind == REASONING and config.reasoning == "strip"
        else _cut(part, limits.get(part.kind, config.max_tool_chars))
        for part in parts
    )
    return replace(turn, content=_joined(texts))


def cut_response(text: str, config: JudgeConfig, limit: int) -> tuple[str, int]:
    """A response of at most `limit` characters, or twice as many with `judge.reasoning: keep`; the lines that say what
    is missing are not counted. And how many of its characters are left out.

    Calls and results of tools lose their middle beyond `judge.max_tool_chars`. What is still too long then gives way in
    this order: the reasoning, the tools' texts, the answer, which is cut only where it alone is longer than `limit`.
    """
    parts = _parts(text)
    if len(parts) == 1 and not parts[0].kind:  # neither reasoning nor tools
        return cut_middle(text, limit)
    length = sum(len(part.body) for part in parts)
    said = "\n\n".join(part.body for part in parts if not part.kind)
    room = max(0, limit - len(said))
    tools = _Share([part for part in parts if part.kind not in ("", REASONING)], config.max_tool_chars, room)
    room = limit if config.reasoning == "keep" else room - tools.used
    kept = [part for part in parts if part.kind == REASONING and config.reasoning != "strip"]
    thoughts = _Share(kept, len(text), room)
    cut = length - tools.shown - thoughts.shown - sum(len(part.body) for part in parts if not part.kind)
    thought, tool = iter(thoughts.texts("of reasoning")), iter(tools.texts("of tool calls and results"))
    if len(said) > limit:
        said, missing = cut_middle(said, limit)
        return "".join((*thought, *tool, said)), cut + missing
    texts = [part.body if not part.kind else next(thought if part.kind == REASONING else tool, "") for part in parts]
    return _joined(texts), cut


def without_reasoning(text: str) -> str:
    """A response without the reasoning in it; nothing is left of one whose reasoning never ends."""
    parts = _parts(text)
    return _joined("" if part.kind == REASONING else part.opening + part.body + part.closing for part in parts)


def _parts(text: str) -> list[Part]:
    """The parts of what an assistant says: where it begins with reasoning that stands in no fence, that is a part."""
    first, *rest = parts_of(text)
    if first.kind:
        return [first, *rest]
    thought, answer, _ = split_reasoning(first.body)
    if not thought:
        return [first, *rest]
    said = answer.lstrip("\n")
    return [Part(REASONING, "", thought, answer[: len(answer) - len(said)]), Part("", "", said, ""), *rest]


class _Share:
    """Parts of one kind, and the length to which each must be cut so that they have at most `room` characters together.

    Where not all of them can be shown with `SHORTEST_SHARE` characters, those in the middle are left out.

    Attributes:
        used: characters that are shown, with the fences.
        shown: characters that are shown, without them.
    """

    def __init__(self, parts: Sequence[Part], most: int, room: int) -> None:
        self._parts = parts
        self._kept: set[int] = set()
        self._limit = most
        left = room
        for index in _from_both_ends(len(parts)):
            left -= _frame(parts[index]) + min(len(parts[index].body), most, SHORTEST_SHARE)
            if left < 0:
                break
            self._kept.add(index)
        bodies = sorted(min(len(parts[index].body), most) for index in self._kept)
        frames = sum(_frame(parts[index]) for index in self._kept)
        left = room - frames
        for number, length in enumerate(bodies):
            if length * (len(bodies) - number) > left:
                self._limit = left // (len(bodies) - number)
                break
            left -= length
        self.shown = sum(min(length, self._limit) for length in bodies)
        self.used = frames + self.shown

    def texts(self, what: str) -> Iterator[str]:
        """The text of each part; in the place of the first one that is left out, a line that says so."""
        missing = sum(len(part.body) for index, part in enumerate(self._parts) if index not in self._kept)
        note = f"[... {missing} characters {what} cut ...]"
        for index, part in enumerate(self._parts):
            if index in self._kept:
                yield _cut(part, self._limit)
            else:
                before = part.opening[: len(part.opening) - len(part.opening.lstrip("\n"))]
                after = part.closing[len(part.closing.rstrip("\n")) :]
                yield f"{before}{note}{after}" if note else ""
                note = ""


def _from_both_ends(n: int) -> Iterator[int]:
    """The numbers below n, three from the start for each one from the end: what is left out lies between."""
    first, last = 0, n - 1
    while first <= last:
        if (n - 1 - last) * 3 + 3 > first:
            yield first
            first += 1
        else:
            yield last
            last -= 1


def _joined(texts: Iterable[str]) -> str:
    """The texts one after the other; where an empty one stood between two of them, the second begins on a new line."""
    shown: list[str] = []
    gap = False
    for text in texts:
        if gap and text and shown and not shown[-1].endswith("\n") and not text.startswith("\n"):
            shown.append("\n\n")
        shown += filter(None, (text,))
        gap = not text
    return "".join(shown)


def _frame(part: Part) -> int:
    return len(part.opening) + len(part.closing)


def _cut(part: Part, limit: int) -> str:
    return part.opening + cut_middle(part.body, limit)[0] + part.closing
