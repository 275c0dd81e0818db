"""Finds the response in a text that is prompt and response, decoded together."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left

from grm_plugin._util.text import encodable
from grm_plugin.errors import GroupError

MIN_OVERLAP = 32
"""Fewer characters shared by the end of a prompt and the start of a query are taken for chance."""

LOOKS = 32
"""At so many places the texts are compared directly, which is fast; then a search takes over whose time stays linear
where they repeat themselves."""

END_TOKENS = (
    *("<|im_end|>", "<|endoftext|>", "<|end|>", "<|return|>"),  # Qwen, Phi, gpt-oss
    *("<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end_of_text|>", "<|finetune_right_pad_id|>"),  # Llama
    *("<end_of_turn>", "<eos>", "<pad>"),  # Gemma
    *("<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"),  # DeepSeek
    *("</s>", "[PAD]"),  # Mistral, Llama 2
)
"""Tokens that may follow a decoded response and are no part of it."""


def response_of(query: str, prompt: str) -> str:
    """The response in `query`, which is prompt + response decoded with special tokens (OpenRLHF, `utils/agent.py`).

    End-of-turn, end-of-text and padding tokens behind the response are left out. Two things happen to a prompt on its
    way through the policy's tokenizer: it may come back in Unicode normal form C (Qwen), and one that is too long
    loses its beginning, so that the query starts inside it.

    Raises:
        GroupError: the query holds neither the prompt nor an end of it of at least `MIN_OVERLAP` characters.
    """
    query, prompt = encodable(query), encodable(prompt)
    composed = unicodedata.normalize("NFC", prompt)
    for start in (prompt, composed):
        if query.startswith(start):
            return _without_end_tokens(query[len(start) :])
    for start in dict.fromkeys((prompt, composed)):  # mostly one and the same
        if shared := _overlap(start, query):
            return _without_end_tokens(query[shared:])
    raise GroupError(_mismatch(query, prompt))


def _without_end_tokens(text: str) -> str:
    end = len(text)
    while True:
        last = end
        while last and text[last - 1].isspace():
            last -= 1
        token = next((token for token in END_TOKENS if text.endswith(token, 0, last)), None)
        if token is None:
            return text[:end]
        end = last - len(token)


def _overlap(prompt: str, query: str) -> int:
    """Length of the longest end of `prompt` that `query` starts with; 0 where it is below `MIN_OVERLAP`.

    It runs on the service's event loop: millions of characters take milliseconds, and up to a second only where the
    query's first characters come again and again in the prompt, and the prompt's last ones in the query.
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


def _mismatch(query: str, prompt: str) -> str:
    shorter = min(len(query), len(prompt))
    # A binary search that compares whole slices: a loop over a million characters would hold up the event loop.
    position = bisect_left(range(shorter), True, key=lambda index: query[: index + 1] != prompt[: index + 1])
    # The code points and not the text, which must not get into logs.
    theirs, ours = (f"U+{ord(text[position]):04X}" if position < len(text) else "its end" for text in (prompt, query))
    return (
        f"the prompt is no prefix of the query: they differ from character {position} on, where the prompt has "
        f"{theirs} and the query {ours}; send prompt + response with special tokens, undecorated"
    )
