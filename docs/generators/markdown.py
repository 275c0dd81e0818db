"""Pieces of MyST Markdown, and the complaint about a text that is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sphinx.util.logging import getLogger

logger = getLogger(__name__)


def directive(name: str, argument: str, options: Mapping[str, str | bool], body: str) -> str:
    """A directive around `body`, with a fence longer than any inside it. Options that are False or "" are left out."""
    longest = max((len(run) for run in re.findall(r"^:{3,}", body, re.MULTILINE)), default=2)
    fence = ":" * (longest + 1)
    given = [f":{key}:" if value is True else f":{key}: {_quoted(value)}" for key, value in options.items() if value]
    return "\n".join([f"{fence}{{{name}}} {argument}", *given, "", body, fence, ""])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; texts may have several lines."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    """The text as code, whatever it holds."""
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", str(text))), default=0))
    return f"{marks}{text}{marks}"


def indented(text: str, spaces: int) -> str:
    """The text with its further lines indented, as the item of a list needs it."""
    return text.strip().replace("\n", "\n" + " " * spaces)


def described(text: str | None, what: str) -> str:
    """The text. A missing one is a warning, which ends the build: a name without a word about it is no reference."""
    if not text or not text.strip():
        logger.warning("%s has no description", what)
        return ""
    return text.strip()


def _quoted(text: str | bool) -> str:
    """As a string of YAML, which the options of a directive are."""
    return "'" + str(text).replace("'", "''") + "'"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
