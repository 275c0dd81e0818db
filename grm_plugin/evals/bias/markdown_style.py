"""Counts the Markdown in a response, by kind. What stands within a block of code is not counted as anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

KINDS: Mapping[str, tuple[str, ...]] = {
    "headings": ("heading_open",),
    "list entries": ("list_item_open",),
    "bold": ("strong_open",),
    "code blocks": ("fence", "code_block"),
    "tables": ("table_open",),
}
"""Kind -> the parser's names for where one begins."""

MOST_CHARACTERS = 100_000
"""Of longer texts the rest is passed over: some texts take the parser a time that grows with their length squared."""


def markdown_counts(text: str) -> dict[str, int]:
    """Kind -> how many of it a text has, as a reader of CommonMark with tables (GitHub's) sees it."""
    found = Counter(token.type for token in _tokens(text[:MOST_CHARACTERS]))
    return {kind: sum(found[name] for name in names) for kind, names in KINDS.items()}


def _tokens(text: str) -> Iterator[Token]:
    for token in _parser().parse(text):
        yield token
        yield from token.children or ()


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")
