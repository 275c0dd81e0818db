"""Reads why an OpenAI-compatible server refused a request: which parameters it names, and what it has against them.

There is no common form. OpenAI and vLLM name the parameter in `error.param`, FastAPI servers in `detail[].loc`; Azure,
SGLang, TGI, Gemini, gateways and others only in a sentence, which may lie in a JSON text inside of another one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

MOST_TEXTS, TEXT_CHARS = 50, 1000
"""What is read of a refusal: so many texts, and the beginning of each."""

_FIELDS = {"param", "parameter", "loc", "field", "path"}
"""Keys under which servers name what they refuse."""

_ECHOES = {"input", "ctx", "url", "messages", "prompt", "request"}
"""Keys under which servers send back what they got: the words there are a user's."""

_NAMES_N = re.compile(
    r"""
    ['"`] n ['"`]
  | (?<![\w\\]) n \s? (?: [:=<>] | (?: must | should | has | can | cannot | is | value | parameter ) \b )
  | (?: parameter | param | argument | field | invalid | key | name ) s? [:\s]{1,3} n \b
  | : \s n (?: [.,;] | $ )
  | number \s of \s (?: \w{1,20} \s ){0,2} (?: choices | completions | candidates | generations )
  | \b (?: multiple | several | many | one | single | 1 ) \s (?: \w{1,20} \s )? (?: choice | completion | candidate )
  | \b more \s than \s (?: one | 1 ) \s (?: \w{1,20} \s )? (?: sequence | output | answer | sample | result )
  | \b (?: multiple | several | many ) [\s-] (?: \w{1,20} \s )? (?: sequence | output | answer | sample | generation )
  | \b parallel \s sampling | \b multi [\s-] (?: completion | choice ) | \b and \s n \s are \b
  | \u53c2\u6570 \s? n (?! [a-z] )  # "parameter n"
  | candidate_?count | num_return_sequences | \b n \s (?: greater | larger | above | > )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_ALIASES = {
    "top_p": r"top_?p",
    # A server may name the one that it wants only.
    **dict.fromkeys(
        ("max_tokens", "max_completion_tokens"), r"max_(?:completion_)?tokens | max_?(?:output|new)_?tokens"
    ),
}

_UNSUPPORTED = re.compile(
    r"""
    un (?: supported | known | recogni[sz]ed | expected | permitted )
  | extra (?: neous )? [ _] (?: input | field | key | param | argument | forbidden )
  | (?: \b not | n't ) \s (?: \w{1,12} \s )? (?: support | allow | permit | accept (?! able ) | recogni[sz]
      | implement | available | enabled | compatible | possible | take | have | know )
  | can (?: \s? not | 't ) \s (?: both | be | find | use | set )
  | forbidden | deprecated | no \s longer | removed | instead | obsolete | unavailable | disabled
  | disallowed | locked | \b no \s such | (?: does \s not | n't ) \s exist
  | \b not \s (?: configur | chang | adjust | tun | sett | applic | custom ) \w{0,6} able\b
  | (?: may | must | should ) \s not \s be \s (?: chang | modif | given | specif | used | pass | sent | adjust )
  | \u4e0d\u652f\u6301  # "does not support"
  | invalid \s (?: param | arg | field | key )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ONE_VALUE = re.compile(
    r"""
    \b only \b | \b always \b | allowed \s values? : \s \[ [\d.]{1,4} \] | fixed \s (?: at | to ) | the \s default
  | (?: must | has \s to | should ) \s (?: be | equal ) \s (?: set \s to \s | exactly \s )?
      (?: 1 | 1\.0 | one | unset | omitted | null | none ) \b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_OUT_OF_RANGE = re.compile(
    r"""
    too \s (?: large | big | high | small | low | long | many ) | exceed | between | \b range \b
  | (?: less | greater | smaller | larger | lower | higher | more ) \s than | at \s (?: most | least )
  | (?: max | min ) imum | [<>\u2264\u2265] \s? =? \s? \d
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CLASH = re.compile(r"\bboth\b|\btogether\b|only one|\beither\b|simultaneous", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context[ _](?:length|window|size)|(?:prompt|inputs?|messages?) (?:is|are) too long|`inputs`.{0,40}must",
    re.IGNORECASE,
)
_CUT = re.compile(r"max_tokens or model output limit was reached", re.IGNORECASE)
_USE = re.compile(r"\b(?:use|favou?r|renamed|replaced|rather than)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as read.

    Attributes:
        text: its sentences.
        named: the request's parameters that it names, the one that it is about first.
        by_field: whether it names that one in a field of its own, not just in a sentence.
    """

    text: str
    named: tuple[str, ...]
    by_field: bool

    @property
    def too_long(self) -> bool:
        """Whether prompt and completion do not fit into the model's context."""
        return bool(_TOO_LONG.search(self.text))

    @property
    def cut(self) -> bool:
        """Whether the completion was cut before it had any text: OpenAI refuses a reasoning model's afterwards."""
        return bool(_CUT.search(self.text))

    @property
    def unsupported(self) -> bool:
        """Whether the server knows no such parameter, or takes one value of it only."""
        if _UNSUPPORTED.search(self.text):
            return True
        return (self.by_field or bool(_ONE_VALUE.search(self.text))) and not _OUT_OF_RANGE.search(self.text)

    def asks_for(self, name: str) -> bool:
        """Whether the server wants this parameter in place of the one that it refuses."""
        return name in self.text and (self.unsupported or bool(_USE.search(self.text)))


def read_refusal(body: object, parameters: Collection[str]) -> Refusal:
    """Read the body of an answer with status 400 or the like.

    Args:
        body: JSON, or the text where it was none.
        parameters: that the request had.
    """
    texts = list(_texts(body))
    by_field = [name for key, text in texts if key in _FIELDS if (name := _last_part(text)) in parameters]
    sentences = "\n".join(text for key, text in texts if key not in _FIELDS)
    named = list(dict.fromkeys(by_field)) or _in_order(sentences, parameters)
    if {"temperature", "top_p"} <= set(named) and _CLASH.search(sentences):
        named.sort(key=lambda name: name != "top_p")  # of the two, the one that can be missed
    return Refusal(sentences, tuple(named), bool(by_field))


def _texts(body: object) -> Iterator[tuple[str, str]]:
    """The texts in a body, each with the key under which it stands; without what the server sends back."""
    nodes: list[tuple[str, object]] = [("", body)]
    for _ in range(MOST_TEXTS):
        if not nodes:
            return
        key, node = nodes.pop()
        if isinstance(node, Mapping):
            nodes += [(str(name), part) for name, part in reversed([*node.items()]) if name not in _ECHOES]
        elif isinstance(node, list | tuple):
            nodes += [(key, part) for part in reversed(node)]
        elif isinstance(node, str):
            yield key, node[:TEXT_CHARS]


def _in_order(sentences: str, parameters: Collection[str]) -> list[str]:
    """The parameters that stand in sentences, the first one first."""
    found = []
    for name in parameters:
        pattern = re.compile(rf"(?<!\w)(?:{_ALIASES.get(name, re.escape(name))})(?!\w)", re.VERBOSE | re.IGNORECASE)
        match = (_NAMES_N if name == "n" else pattern).search(sentences)
        if match:
            found.append((match.start(), name))
    return [name for _, name in sorted(found)]


def _last_part(field: str) -> str:
    """`temperature` of `generation_config.temperature`, or of the JSON pointer `/temperature`."""
    return re.split(r"[./]", field)[-1].strip("'\"`[]() ")
