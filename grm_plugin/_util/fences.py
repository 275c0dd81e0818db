"""The fences round tool calls, their results and reasoning in a text that the GRM is shown.

    [tool call get_weather]
    {"city": "Oslo"}
    [end of tool call]

They are written where messages are read (`conversation`) and found again where texts are cut (`judging`). What a policy
writes itself cannot pass for one: `broken_up` puts a space into it, as `judging.sanitizing` does with control tokens.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

from grm_plugin._util.text import FILLERS, INVISIBLE, strip_invisible

Kind = Literal["tool call", "tool result", "conversation item", "assistant's reasoning"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REASONING: Kind = "assistant's reasoning"

LONGEST_NAME = 100
"""A name in a fence is cut to so many characters: it is the policy's, too."""

_NO_NAME = re.compile(r"[\[\]\s]+")
_LINE = re.compile(rf"^\[(end of )?({'|'.join(KINDS)})(?: [^\[\]\n]{{1,{LONGEST_NAME}}})?\]$", re.MULTILINE)


_UNSEEN = f"[{INVISIBLE}{FILLERS}]*+"
_GAP = rf"[\s{INVISIBLE}{FILLERS}]*+"


def _in_disguise(words: str) -> str:
    """A pattern of these words, with invisible characters between their letters and any white space between them."""
    return _GAP.join(_UNSEEN.join(map(re.escape, word)) for word in words.split())


_BRACKETS = ("[", "［")
"""What an imitation begins with. Most texts have none: looking for them first saves the search for the rest."""

_IMITATION = re.compile(
    rf"[\[［](?={_UNSEEN}(?:{_in_disguise('end of')}{_GAP})?+(?:{'|'.join(map(_in_disguise, KINDS))}))", re.IGNORECASE
)


class Part(NamedTuple):
    """A part of a text: what stands in one fence, or, where `kind` is empty, plain text. The line breaks round a fence
    belong to it. All parts, each as `opening + body + closing`, make the text."""

    kind: Kind | Literal[""]
    opening: str
    body: str
    closing: str


def fenced(kind: Kind, body: str, name: str = "") -> str:
    """The body between the lines of a fence; its own imitations of one are broken up."""
    label = _NO_NAME.sub(" ", strip_invisible(name)).strip()[:LONGEST_NAME].rstrip()
    return f"[{kind}{' ' * bool(label)}{label}]\n{broken_up(body)}\n[end of {kind}]"


def broken_up(text: str) -> str:
    """The text with a space behind the bracket of all that looks like a fence: `[ tool result ...`."""
    if not any(bracket in text for bracket in _BRACKETS):
        return text
    return _IMITATION.sub(lambda bracket: f"{bracket[0]} ", text)


def parts_of(text: str) -> list[Part]:
    """The fenced and the plain parts of a text, in order. A fence that is not closed is plain text."""
    if "[end of " not in text:
        return [Part("", "", text, "")]
    parts: list[Part] = []
    end = 0
    opening: re.Match[str] | None = None
    for line in _LINE.finditer(text):
        if not line[1]:
            opening = line
        elif opening and line[2] == opening[2]:
            plain = text[end : opening.start()].rstrip("\n")
            if plain:
                parts.append(Part("", "", plain, ""))
            start = opening.end() + 1
            stop = max(start, line.start() - 1)
            after = line.end()
            while text.startswith("\n", after):
                after += 1
            kind = next(kind for kind in KINDS if kind == line[2])
            parts.append(Part(kind, text[end + len(plain) : start], text[start:stop], text[stop:after]))
            end, opening = after, None
    if end < len(text) or not parts:
        parts.append(Part("", "", text[end:], ""))
    return parts
