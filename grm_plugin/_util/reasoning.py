"""Tells what a thinking model thought from what it answered: `<think>` and its kin, `[THINK]`, gpt-oss's channels.

Two readers need it in two ways. Of the GRM's text only what follows *all* reasoning may hold the verdict
(`after_reasoning`): a missing vote costs less than a draft taken for a verdict. Of a policy's response nothing may be
taken for reasoning that is not (`split_reasoning`): what is left out of the answer is not judged.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# Names are made of words: <thinking>, <inner_monologue>, <reasoning_content>, <seed:cot_budget_reflect>.
_NAMES = r"""
    (?: [a-z]{1,16} [_\-] ){0,2}
    (?: think | thinking | antthinking | thoughts? | reason | reasoning | reflection | monologue | scratchpad
      | deliberat(?:e|ion) | cot )
    (?: [_\-] (?: process | content | steps? | budget | reflect | text | trace ) ){0,2}
"""
_ATTRIBUTES = r"(?: \s [^<>]{0,80} )?+"
_BAR = r"[|｜]"
_OPEN = rf"""
    < (?: [a-z]{{1,16}}+ : )?+ {_NAMES} {_ATTRIBUTES} >     # <think>, <thinking>, <seed:think>, <think type="x">
  | \[ {_NAMES} \]                                          # [THINK]
  | ◁ think ▷
"""
_CLOSE = rf"""
    < \s?+ / \s?+ (?: [a-z]{{1,16}}+ : )?+ {_NAMES} \s*+ >
  | \[/ {_NAMES} \]
  | ◁/ think ▷
"""
# Marks of special tokens. Nobody speaks of them: texts under judgment have theirs broken up.
_TOKEN_OPENS = rf"""
    < {_BAR} (?! end ) {_NAMES} {_BAR} >                # <|START_THINKING|>, <|begin_of_thought|>
  | < {_BAR} inner_prefix {_BAR} >
  | <unused94> \s*+ thought\b
  | <\|channel>thought\b
  | <\|channel\|> \s*+ (?: analysis | commentary ) (?: [^<] | <\|constrain\|> ){{0,200}}+ <\|message\|>
"""
_TOKEN_CLOSES = rf"""
    < {_BAR} (?: / | end _? (?: of )? _? ) {_NAMES} {_BAR} >
  | < {_BAR} inner_suffix {_BAR} >
  | <unused95>
  | <channel\|>
  | <\|channel\|> \s*+ final (?: [^<] | <\|constrain\|> ){{0,200}}+ <\|message\|>
"""
_OPEN, _CLOSE = f"{_OPEN} | {_TOKEN_OPENS}", f"{_CLOSE} | {_TOKEN_CLOSES}"
# What a chat template writes before an answer: <|start|>assistant, <｜Assistant｜>.
_TURN = rf"(?: < {_BAR} [\w▁]{{1,40}}+ {_BAR} > (?: assistant )?+ \s*+ )*+"
_FLAGS = re.VERBOSE | re.IGNORECASE | re.MULTILINE
_AT_START = re.compile(rf"\s*+ (?: {_OPEN} )", _FLAGS)
# A mark in the middle of a sentence is spoken of, not written: "Response 1 begins with <think>".
_WRITTEN = re.compile(
    rf"(?: ^ [ \t*_#]*+ {_TURN} | (?<= [.!?}})\]。！？] ) [ \t$*_]*+ ) (?: {_OPEN} ) | {_TOKEN_OPENS}", _FLAGS
)
_CLOSES = re.compile(_CLOSE, _FLAGS)
# What every closing mark begins with: found in a tenth of the time, and in few texts.
_MAY_CLOSE = re.compile(r"[<\[◁](?:\s?/|[|｜]|(?i:unused95>|channel\|>))")
# The template of many policies opens the reasoning, so that their response only closes it: at the end or the start of a
# line, as no sentence does that speaks of the tag.
_CLOSES_LINE = re.compile(rf"(?: {_CLOSE} ) (?= [ \t]*+ (?: \n | \Z ) ) | ^ (?: {_CLOSE} )", _FLAGS)

# Where a template opens it: "<|assistant|><think>", "Assistant: <think>"; not where a user asks "What is <think>".
_PROMPT_OPENS = re.compile(rf"(?: ^ | [>\]:：] ) [ \t]*+ (?P<opening> (?: {_OPEN} ) \s*+ ) \Z", _FLAGS)
_LONGEST_OPENING = 200

# A call of gpt-oss names whom it goes to, and what is said in a channel before it is reasoning no more.
_CALL = r"<\|channel\|> \s*+ (?: analysis | commentary ) \s++ to="
_CHANNEL_OPENS = re.compile(
    rf"\s*+ (?! {_CALL} ) <\|channel\|> \s*+ (?: analysis | commentary ) [^<]*+ <\|message\|>", _FLAGS
)
_CHANNEL_CLOSES = re.compile(
    rf"""
    <\|channel\|> \s*+ final [^<]*+ (?: <\|constrain\|> [^<]*+ )?+ <\|message\|>
  | (?= (?: <\|start\|> \s*+ assistant \s*+ )?+ {_CALL} )
    """,
    _FLAGS,
)
_CALLS = re.compile(rf"\s*+ {_CALL}", _FLAGS)
_ANY_OPENS = re.compile(_OPEN, _FLAGS)

# Every mark begins with one of these. Most critiques hold none: looking for it first spares them the search for marks.
_BEGINS = re.compile(r"[<\[◁]")

# gpt-oss where the tokens round the names of its channels were dropped in decoding.
_BARE_OPENS = re.compile(r"""\s*+(?:analysis|commentary)(?=[\w"'*(\[]| ++[A-Z])""")
_BARE_CLOSES = "assistantfinal"


class Reasoned(NamedTuple):
    """A text, taken apart: `reasoning` with its marks, then `answer`. `ends` says whether the reasoning does."""

    reasoning: str
    answer: str
    ends: bool = True


def split_reasoning(response: str) -> Reasoned:
    """The reasoning that a response begins with, and its answer; the whole response is the answer where there is none.

    Reasoning ends at its first closing mark; one that follows at once belongs to it too. Text further down that merely
    holds such a mark is the answer's.
    """
    if _BARE_OPENS.match(response) and _BARE_CLOSES in response:
        thought, mark, answer = response.partition(_BARE_CLOSES)
        return Reasoned(thought + mark, answer)
    if _CHANNEL_OPENS.match(response):
        closing = _CHANNEL_CLOSES.search(response)
        end = closing.end() if closing else len(response)
        return Reasoned(response[:end], response[end:], ends=closing is not None)
    if _CALLS.match(response):
        return Reasoned("", response)
    end = 0
    while opening := _AT_START.match(response, end):
        closing = _CLOSES.search(response, opening.end())
        if closing is None:
            return Reasoned(response, "", ends=False)
        end = closing.end()
    end = end or _end_of_opened_by_prompt(response)
    return Reasoned(response[:end], response[end:])


def _end_of_opened_by_prompt(response: str) -> int:
    """Where reasoning ends that the response only closes; 0 where a mark is spoken of, as in code or behind another."""
    if not _MAY_CLOSE.search(response):
        return 0
    opening = _ANY_OPENS.search(response)
    checked, in_code = 0, False
    for closing in _CLOSES_LINE.finditer(response, 0, opening.start() if opening else len(response)):
        in_code ^= response.count("```", checked, closing.start()) % 2 == 1
        checked = closing.end()
        if not in_code:
            return closing.end()
    return 0


def with_opening(prompt: str, response: str) -> str:
    """The response, with the mark before it that its prompt ends in: many templates open the reasoning themselves.

    A response that opens its reasoning itself stays as it is.
    """
    opening = _PROMPT_OPENS.search(prompt, max(0, len(prompt) - _LONGEST_OPENING))
    return response if opening is None or _AT_START.match(response) else opening["opening"] + response


def after_reasoning(text: str) -> str | None:
    """What follows the last closing mark; None where reasoning opens behind it, other than in a sentence."""
    if _BARE_OPENS.match(text):
        _, closed, answer = text.rpartition(_BARE_CLOSES)
        return answer if closed else None
    if not _BEGINS.search(text):
        return text
    end = 0
    if _MAY_CLOSE.search(text):
        for closing in _CLOSES.finditer(text):
            end = closing.end()
    answer = text[end:]
    # The first search takes a fiftieth of the second one's time, and finds nothing in most texts.
    return None if _ANY_OPENS.search(answer) and _WRITTEN.search(answer) else answer


_MARK = re.compile(rf"(?P<left>[<\[◁])(?P<bar>{_BAR}?+)(?P<name>[\w:\-]++)")
_RIGHT = {"<": ">", "[": "]", "◁": "▷"}
_IRREGULAR = {
    "inner_prefix": "<|inner_suffix|>",
    "unused94": "<unused95>",
    "channel": "<channel|>",
}


def closing_mark(text: str) -> str:
    """The mark that would end the reasoning in which a text breaks off.

    Empty where it breaks off in none, or in a channel of gpt-oss, whose marks are dropped in decoding.
    """
    end = max((closing.end() for closing in _CLOSES.finditer(text)), default=0)
    written = _WRITTEN.search(text[end:])
    opening = _ANY_OPENS.search(written[0]) if written else None
    mark = _MARK.match(opening[0]) if opening else None
    if mark is None or mark.string.lower().startswith("<|channel|>"):
        return ""
    left, bar, name = mark["left"], mark["bar"], mark["name"]
    if irregular := _IRREGULAR.get(name.lower()):
        return irregular
    if bar:
        name = re.sub("^(?:START|BEGIN)(?=_)", "END", re.sub("^(?:start|begin)(?=_)", "end", name))
    ends_already = bar and name.lower().startswith("end_")
    return f"{left}{bar}{'' if ends_already else '/'}{name}{bar}{_RIGHT[left]}"
