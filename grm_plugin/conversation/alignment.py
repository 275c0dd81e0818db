"""Finds where a prompt ends in a text that begins with it, after a tokenizer has encoded and decoded it.

decode(encode(prompt)) need not be the prompt. Compared is what tokenizers leave alone: the characters without white
space, since decoders put some beside special tokens (Llama, legacy SentencePiece) and take some before punctuation
(`clean_up_tokenization_spaces`), in Unicode's normal forms (NFC of Qwen, NFKC of T5 and XLM-R) and, where that does not
do, without case and accents (BERT). Every other character of the prompt must be there, and in order: a response can
neither take a part of the prompt nor lose its own beginning, whatever it holds.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left

from grm_plugin.conversation.overlap import common_start, overlap

_UNKNOWN_TOKEN = re.compile(r"<unk>|<UNK>|<\|unk\|>|⁇")
"""What tokenizers put for characters they do not know. Not BERT's `[UNK]`, which stands for a whole word."""
_UNKNOWN = "\ud800"
"""Stands for the unknown token; no text holds it (`_util.text.encodable`)."""
_BLANKS = re.compile(r"\s*+")

_TOKENS = re.compile(rf"(?:\s|{_UNKNOWN}|<[|｜]?[^<>\s]{{1,60}}>|\[[A-Za-z_]{{1,30}}\])*+")
"""Special tokens, as far as their shape tells, and white space between them."""

_SPACE = "\u2581"
"""SentencePiece's space, which it decodes as one."""

_CHUNK = 4096


def prompt_end(prompt: str, query: str) -> int | None:
    """Where in `query` the response begins; None if the query does not hold the prompt.

    Passed over are special tokens in front of the prompt (a second BOS token, padding) and the white space that the
    prompt ends in; what white space follows is the response's. An unknown token (`<unk>`) stands for characters that
    are nowhere in the query. A query may start inside the prompt (one that is too long loses its beginning) where both
    share at least `overlap.MIN_OVERLAP` characters. Neither text holds lone surrogates.

    It runs on the service's event loop: linear in both texts. A million characters take some milliseconds, a tenth of a
    second or two where they have to be folded, and one second or two where they never match or repeat themselves.
    """
    composed = unicodedata.normalize("NFC", prompt)
    for text in (prompt, composed):
        if query.startswith(text):
            return len(text)
    normal = unicodedata.normalize("NFKC", prompt)
    for folding, text in (*((_NORMAL, text) for text in dict.fromkeys((normal, prompt))), (_BARE, prompt)):
        if (end := _end_of_whole(folding, text, query)) is not None:
            return end
    for text in dict.fromkeys((prompt, composed)):  # mostly one and the same
        if shared := overlap(text, query):
            return shared
    return _end_of_rest(prompt, query)


def first_difference(prompt: str, query: str) -> tuple[int, int]:
    """The first places in the two texts whose difference no tokenizer explains, as far as one can tell."""
    ours, theirs = prompt.translate(_BARE), query.translate(_BARE)
    same = common_start(ours, theirs)
    start, at = _place(_BARE, prompt, same), _place(_BARE, query, same)
    alike = common_start(prompt[start:], query[at:])
    return start + alike, at + alike


class _Folding(dict[int, str | None]):
    """For `str.translate`: what is compared of a character, made when it is first asked for.

    Each character by itself, so that what follows a place never changes what stands before it.
    """

    def __init__(self, form: str, *, bare: bool) -> None:
        super().__init__()
        self._form, self._bare = form, bare

    def __missing__(self, code: int) -> str | None:
        text = unicodedata.normalize(self._form, chr(code))  # type: ignore[arg-type]
        if self._bare:
            text = unicodedata.normalize(self._form, text.casefold())  # type: ignore[arg-type]
        self[code] = compared = "".join(filter(self._is_compared, text)) or None
        return compared

    def _is_compared(self, character: str) -> bool:
        if character.isspace() or character == _SPACE:
            return False
        # BERT removes control, format, private and unassigned characters; U+FFFD stands for a byte that is no text.
        dropped = unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn", "Mc", "Me", "Mn") or character == "\ufffd"
        return not (self._bare and dropped)


_NORMAL, _BARE = _Folding("NFKC", bare=False), _Folding("NFKD", bare=True)


def _end_of_whole(folding: _Folding, prompt: str, query: str) -> int | None:
    """Where the response begins if the query holds the whole prompt."""
    unknown = _UNKNOWN_TOKEN.search(query)
    spelling = unknown[0] if unknown else _UNKNOWN
    prompt, query = prompt.replace(spelling, _UNKNOWN), query.replace(spelling, _UNKNOWN)
    wanted, text = prompt.translate(folding), query.translate(folding)
    known = set(text) - {_UNKNOWN}  # a tokenizer that does not know a character gives it nowhere
    size = len(wanted)
    while size and wanted[size - 1] not in known:
        size -= 1
    end = _aligned(wanted[:size], text, 0, known)
    if end is None and (start := _behind_tokens(folding, wanted[:size], query, text)):
        end = _aligned(wanted[:size], text, start, known)
    if end is None or not wanted:
        return None
    rest = prompt[_place(folding, prompt, size) :]
    place = _behind_unknowns(folding, rest, query, _place(folding, query, end))
    return None if place is None else place + (len(spelling) - 1) * query.count(_UNKNOWN, 0, place)


def _end_of_rest(prompt: str, query: str) -> int | None:
    """Where the response begins if the query holds the end of the prompt."""
    wanted = prompt.translate(_BARE)
    for start in sorted({0, _TOKENS.match(query).end()}):  # type: ignore[union-attr]
        if shared := overlap(wanted, query[start:].translate(_BARE)):
            place = start + _place(_BARE, query[start:], shared)
            return _behind_blanks(prompt[_place(_BARE, prompt, len(wanted)) :], query, place)
    return None


def _aligned(prompt: str, query: str, at: int, known: set[str]) -> int | None:
    """Where the prompt ends that starts at `query[at]`, both folded; None if another text stands there.

    Unknown tokens stand for one or more characters that are not in `known`.
    """
    done = 0
    while True:
        unknown = query.find(_UNKNOWN, at)
        size = min((len(query) if unknown < 0 else unknown) - at, len(prompt) - done)
        if not query.startswith(prompt[done : done + size], at):
            return None
        at, done = at + size, done + size
        if done == len(prompt):
            return at
        if at == len(query) or prompt[done] in known:
            return None
        while query.startswith(_UNKNOWN, at):
            at += 1
        while prompt[done] not in known:  # it ends in one that is known
            done += 1


def _behind_tokens(folding: _Folding, prompt: str, query: str, text: str) -> int:
    """Where in `text`, the folded query, the folded prompt may start behind special tokens; 0 if nowhere."""
    tokens = _TOKENS.match(query)[0].translate(folding)  # type: ignore[index]
    start = text.find(prompt[:_CHUNK], 0, len(tokens) + len(prompt[:_CHUNK]))
    return start if start > 0 and _TOKENS.fullmatch(query, 0, _place(folding, query, start)) else 0


def _place(folding: _Folding, text: str, size: int) -> int:
    """Length of the shortest beginning of `text` of which `size` characters are compared."""
    start = 0
    while size > 0:
        chunk = text[start : start + _CHUNK]
        compared = len(chunk.translate(folding))
        if compared >= size:
            sizes = range(1, len(chunk) + 1)
            return start + 1 + bisect_left(sizes, size, key=lambda length: len(chunk[:length].translate(folding)))
        start, size = start + len(chunk), size - compared
    return start


def _behind_unknowns(folding: _Folding, rest: str, query: str, place: int) -> int | None:
    """Where `rest` of the prompt, of which no compared character is known, ends that starts at `place`."""
    words = rest.replace(_SPACE, " ").split()
    done = 0
    while done < len(words) and (end := _end_of_unknown(query, place, len(words[done]))):
        place, done = end, done + 1
    if "".join(words[done:]).translate(folding):
        return None
    return _behind_blanks(rest[len(rest.rstrip()) :] if done else rest, query, place)


def _end_of_unknown(query: str, place: int, size: int) -> int | None:
    """The end of a word of `size` unknown characters at `place`: of one unknown token, or of one for each."""
    start = end = _BLANKS.match(query, place).end()  # type: ignore[union-attr]
    while end - start < size and query.startswith(_UNKNOWN, end):
        end += 1
    return end if end > start else None


def _behind_blanks(blanks: str, query: str, place: int) -> int:
    """`place` behind the prompt's last compared character, moved behind the white space that the prompt ends in."""
    for white in (blanks, " " + blanks):  # a decoder's space beside a special token
        if query.startswith(white, place):
            return place + len(white)
    return place + common_start(blanks, query[place : place + len(blanks)])
