"""What two texts share: a beginning, or the end of one that the other begins with."""

from __future__ import annotations

from bisect import bisect_left

MIN_OVERLAP = 32
"""Fewer characters shared by the end of a prompt and the start of a query are taken for chance."""

LOOKS = 32
"""At so many places the texts are compared directly, which is fast; then a search takes over whose time stays linear
where they repeat themselves."""


def overlap(prompt: str, query: str) -> int:
    """Length of the longest end of `prompt` that `query` starts with; 0 where it is below `MIN_OVERLAP`.

    A prompt that is too long for the policy loses its beginning. Millions of characters take milliseconds, and up to a
    second only where the query's first characters come again and again in the prompt, and the prompt's last ones in the
    query.
    """
    start, head, tail = -1, query[:MIN_OVERLAP], prompt[-MIN_OVERLAP:]
    if min(len(head), len(tail)) < MIN_OVERLAP or tail not in query:
        return 0
    for _ in range(LOOKS):
        start = prompt.find(head, start + 1)
        if start < 0:
            return 0
        if query.startswith(prompt[start:]):
            return len(prompt) - start
    shared = _overlap_of_repeats(prompt[start + 1 :], query)
    return shared if shared >= MIN_OVERLAP else 0


def common_start(first: str, second: str) -> int:
    """Length of the longest beginning that the two texts share."""
    # A binary search that compares whole slices: a loop over a million characters would hold up the event loop.
    shorter = range(min(len(first), len(second)))
    return bisect_left(shorter, True, key=lambda index: first[: index + 1] != second[: index + 1])


def _overlap_of_repeats(prompt: str, query: str) -> int:
    """Length of the longest end of `prompt` that `query` starts with (Knuth, Morris and Pratt, linear)."""
    borders, length = [0], 0
    for character in query[1 : len(prompt)]:
        while length and character != query[length]:
            length = borders[length - 1]
        length += character == query[length]
        borders.append(length)
    length = 0
    for character in prompt:
        while length and (length == len(borders) or character != query[length]):
            length = borders[length - 1]
        length += character == query[length]
    return length
