"""Tells what a judge says itself from what it quotes: a response under judgment may hold a verdict of its own.

Every function is linear in the text, and keeps offsets: what is quoted becomes blanks.
"""

from __future__ import annotations

import re

CLAUSE_CHARS = 200
"""As far back a clause is looked at. It bounds the work on one endless line."""

_TAG = re.compile(r"<(?P<close>/?+)(?P<name>quote|summary|blockquote|q)(?P<rest>[_ ][^<>\n]{0,40}+)?+>", re.IGNORECASE)
_QUOTED_LINE = re.compile(r"^[ \t]*+>[^\n]*+", re.MULTILINE)
_IN_QUOTES = re.compile(r'"[^"\n]*+"|“[^”\n]*+”|«[^»\n]*+»|「[^」\n]*+」')

_SENTENCE_END = re.compile(r"[.!?;]['\")\]*_]*+\s++|[。！？；]")
_REPORTS = re.compile(
    r"""
    \b (?: says | said | saying | claim(?:s|ed|ing) | writes | wrote | writing | stat(?:es|ed|ing) | reads | reading
         | tells | told | telling | asks | asked | asking | instruct(?:s|ed|ing|ions?) | demand(?:s|ed|ing)
         | insist(?:s|ed|ing) | declar(?:es|ed|ing) | assert(?:s|ed|ing) | quot(?:es?|ed|ing) | repeat(?:s|ed|ing)
         | inject(?:s|ed|ing|ion) | embed(?:s|ded|ding) | forge[sd]? | fake[sd]? | print(?:s|ed) | output(?:s|ted)
         | (?:ends?|ended|ending|begins?|began|beginning|starts?|started|starting|closes?|opens?)\ with
         | the\ (?:line|text|string|words?|phrase|sentence|prompt|message|passage) ) \b
    | (?: 声称 | 写道 | 写着 | 说 | 称 | 引用 | 要求 )
    """,
    re.VERBOSE | re.IGNORECASE,
)

_OWN = re.compile(r"\b(?:i|my|we|our|here (?:is|are)|scores?|ratings?)\b", re.IGNORECASE)
"""Words by which a clause before a colon announces what its author says, whatever else it speaks of."""


def without_quoted_blocks(answer: str) -> str:
    """The answer with blanks for quoted lines (`>`), quoting tags (`<quote_A>`) and blocks announced as quotes.

    A block is announced by a line such as "Response 2 ends with:", and goes to the next empty line.
    """
    text = _QUOTED_LINE.sub(_blanks, answer)
    return _without_announced(_without_tagged(text))


def without_quotes(answer: str, keep: re.Pattern[str] | None = None) -> str:
    """As `without_quoted_blocks`, and with blanks for what stands in quotation marks on one line.

    What matches `keep` as a whole is left as it is, without its marks: a judge may put its own verdict in them.
    """

    def blank(quoted: re.Match[str]) -> str:
        inside = quoted[0][1:-1]
        return f" {inside} " if keep is not None and keep.fullmatch(inside) else _blanks(quoted)

    return _IN_QUOTES.sub(blank, without_quoted_blocks(answer))


def clause_before(text: str, at: int) -> str:
    """The words before `at` in its line that belong to its sentence; at most `CLAUSE_CHARS` characters."""
    start = max(0, at - CLAUSE_CHARS)
    line = text[max(start, text.rfind("\n", start, at) + 1) : at]
    end = 0
    for sentence in _SENTENCE_END.finditer(line):
        end = sentence.end()
    return line[end:]


def reports(clause: str) -> bool:
    """Whether a clause says what somebody else says."""
    return _REPORTS.search(clause) is not None


def _blanks(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _without_tagged(text: str) -> str:
    """A quote goes from its tag to the last closing one before the next quote begins: the quoted may close it too."""
    pieces, end, quote = [], 0, None
    for tag in _TAG.finditer(text):
        if not tag["close"]:
            if quote is None:
                pieces.append(text[end : tag.start()])
                end = quote = tag.start()
            elif end > quote:  # closed before: a new quote begins
                pieces += [_blank(text[quote:end]), text[end : tag.start()]]
                end = quote = tag.start()
        elif quote is not None:
            end = tag.end()
    if quote is None:
        return text
    if end == quote:  # never closed
        return "".join([*pieces, _blank(text[quote:])])
    return "".join([*pieces, _blank(text[quote:end]), text[end:]])


def _without_announced(text: str) -> str:
    lines = text.split("\n")
    announced, inside = False, False
    for index, line in enumerate(lines):
        if not line.strip():
            announced, inside = announced and not inside, False
        elif announced:
            lines[index], inside = " " * len(line), True
        else:
            said = line.rstrip(" \t\r*_`")
            clause = clause_before(said, len(said)) if said.endswith((":", "：")) else ""
            announced = reports(clause) and not _OWN.search(clause)
    return "\n".join(lines)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
