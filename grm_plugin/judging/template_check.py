"""Whether a template shows what is to be judged: it is rendered with probe texts, which are then looked for.

A template may be rendered without error and still leave out a response: it holds placeholders of another language, or
a part of them. Its prompt is then the same whatever the policy writes, and its scores look like scores.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from grm_plugin.errors import PromptError
from grm_plugin.types import Criterion, CriterionKind, Group, Message

PROBE_WORDS = 15
"""Of the beginning and of the end of a probe text."""

WORD_CHARS = 7
"""Of a probe text."""

PROBE_CHARS = 24_000
"""Of a long probe text. All of them have lines, paragraphs and special characters, so that a template that cuts or
changes them is noticed. `judge.max_response_chars` is the place to cut, where it is counted."""

ASKED_KINDS: tuple[CriterionKind, ...] = ("scale", "yes_no", "must", "penalty")
"""Kinds of criteria that the GRM is asked about."""

_ROLES = ("system", "user", "assistant", "tool", "assistant", "user", "assistant", "user", "assistant", "user")
_FILLING = ". . .\n\n"
_WORD = re.compile(rf"[a-zA-Z]{{{WORD_CHARS}}}")
_LETTER_OF = bytes(string.ascii_letters.encode()[byte % len(string.ascii_letters)] for byte in range(256))
_SINGLE_BRACES = re.compile(r"(?<![{\\\w])\{ ?([a-zA-Z_][^{}\n%#\"]{0,60})\}(?!\})")

Render = Callable[[Group, tuple[int, ...], str], str]
"""Renders the responses of a group in an order, fenced by a marker."""


def check_template(
    name: str,
    source: str,
    render: Render,
    sizes: Sequence[int],
    use_reference: bool = True,
    all_turns: bool = True,
    criteria: bool = False,
) -> list[str]:
    """Render a template for lists of these sizes, and look for every text in it.

    Args:
        name: what messages call it.
        source: its text.
        render: renders it.
        sizes: how many responses a list may have.
        use_reference: whether references are shown at all.
        all_turns: whether earlier turns of the conversation must be shown; else leaving them out is a warning.
        criteria: whether it is for lists with criteria, whose names and texts must be shown.

    Returns:
        Warnings: of what is left out that may be left out, and of responses that are changed or run together.

    Raises:
        PromptError: it cannot be rendered; it leaves out or cuts a response or a turn, shows responses in another order
            than it was given or some more often than others, or fences some of them only.
    """
    # Seeded by the system once: its own generator is slow.
    rng = random.Random(random.SystemRandom().getrandbits(128))
    marker = _letters(rng, 6).upper()
    rendered = [
        (group, order, render(group, order, marker))
        for size in sizes
        for group, order in _probes(rng, size, size == max(sizes), criteria)
    ]  # all of them before any is looked at: what a template raises says more than what it leaves out
    left_out: dict[str, None] = {}
    changed: dict[str, None] = {}
    for group, order, prompt in rendered:
        for problem in _problems(group, order, prompt, marker, all_turns):
            raise PromptError(f"template {name} {problem}{_hint(source)}")
        left_out |= dict.fromkeys(_left_out(group, prompt, use_reference, all_turns))
        changed |= dict.fromkeys(_changed(group, order, prompt))
    warnings = [f"does not show {', '.join(left_out)}: responses are judged without"] if left_out else []
    return [f"template {name} {warning}" for warning in (*warnings, *changed)]


def _probes(rng: random.Random, size: int, long: bool, criteria: bool) -> Iterator[tuple[Group, tuple[int, ...]]]:
    """Groups of probe texts: of one and of several turns, with and without reference and rubric, in two orders.

    With criteria each has one of every kind that the GRM is asked about.

    The texts of the last group are long ones, if wanted.
    """
    forth = tuple(range(size))
    one, several = (Message("user", _probe(rng)),), tuple(Message(role, _probe(rng)) for role in _ROLES)
    whole = tuple(Message(role, _probe(rng, long)) for role in _ROLES)
    for conversation, reference, rubric, order in (
        (one, False, False, forth),
        (several, False, False, forth[::-1]),
        (one, True, False, forth[::-1]),
        (one, False, True, forth),
        (whole, True, True, forth),
    ):
        responses = tuple(_probe(rng, long and conversation is whole) for _ in range(size))
        notes = _probe(rng) if reference else None, _probe(rng) if rubric else None
        kinds = ASKED_KINDS if criteria else ()
        asked = tuple(Criterion(_letters(rng, WORD_CHARS), _probe(rng), kind=kind) for kind in kinds)
        yield Group(conversation, responses, *notes, criteria=asked), order


def _problems(group: Group, order: tuple[int, ...], prompt: str, marker: str, all_turns: bool) -> Iterator[str]:
    shown = [_find(group.responses[index], prompt) for index in order]
    if None in shown:
        which = f"response {shown.index(None) + 1} of {len(order)}"
        yield (
            f"does not show {which}, or a part of it: write {{% for response in responses %}} {{{{ response }}}} "
            "{% endfor %}; judge.max_response_chars cuts long ones"
        )
    turns = [turn.content for turn in group.conversation]
    if _find(turns[-1], prompt) is None:
        yield "does not show the last turn of the conversation: write {{ query }}, or all of {{ messages }}"
    if all_turns and any(_find(turn, prompt) is None for turn in turns):
        yield (
            "does not show the earlier turns of a conversation, or parts of them: write {% for message in messages %} "
            "[{{ message.role }}] {{ message.content }} {% endfor %}"
        )
    if all_turns and _find("".join(turns), prompt) is None:
        yield "shows the turns of a conversation in another order than `messages` has"
    for criterion in group.criteria:
        if criterion.name not in prompt or _find(criterion.text, prompt) is None:
            yield (
                "does not show the criteria: write {% for criterion in criteria %} {{ loop.index }} "
                "{{ criterion.name }}: {{ criterion.text }} {% endfor %}"
            )
    starts = [start for start, _ in filter(None, shown)]
    if starts != sorted(starts):
        yield "shows the responses in another order than `responses` has: the scores would go to other ones"
    times = {prompt.count(_words(response)[0]) for response in group.responses}
    if len(times) > 1:
        yield "shows some responses more often than others"
    bounds = [0, *starts]
    if marker in prompt and any(marker not in prompt[start:end] for start, end in zip(bounds, starts, strict=False)):
        yield f"fences some of {len(order)} responses by {{{{ marker }}}} and others not: write it before each of them"


def _left_out(group: Group, prompt: str, use_reference: bool, all_turns: bool) -> Iterator[str]:
    if group.reference is not None and use_reference and _find(group.reference, prompt) is None:
        yield "reference answers ({{ reference }})"
    if group.rubric is not None and _find(group.rubric, prompt) is None:
        yield "grading notes ({{ rubric }})"
    if not all_turns and any(_find(turn.content, prompt) is None for turn in group.conversation):
        yield "earlier turns ({{ messages }})"


def _changed(group: Group, order: tuple[int, ...], prompt: str) -> Iterator[str]:
    """What becomes of responses that are shown: a warning."""
    first = group.responses[order[0]]
    if first.split("\n", 1)[0] not in prompt or "\\n" in prompt:
        yield "changes characters of responses, as HTML, JSON or a printed list do: write {{ response }} for each"
    spans = [span for index in order if (span := _find(group.responses[index], prompt))]
    if any(not prompt[end:start].strip() for (_, end), (start, _) in pairwise(spans)):
        yield "shows nothing between two responses: number them, or fence them by {{ marker }}"


def _hint(source: str) -> str:
    found = _SINGLE_BRACES.search(source)
    if found is None:
        return ""
    return (
        f". {found[0]!r} looks like Python's format, which nothing fills in: the variables are {{{{ messages }}}}, "
        "{{ query }}, {{ responses }}, {{ n }}, {{ marker }}, {{ reference }} and {{ rubric }}"
    )


def _probe(rng: random.Random, long: bool = False) -> str:
    """A text that stands in no template by chance."""
    letters = _letters(rng, 2 * PROBE_WORDS * WORD_CHARS)
    words = [letters[start : start + WORD_CHARS] for start in range(0, len(letters), WORD_CHARS)]
    one, tag, other, *first = words[:PROBE_WORDS]
    filling = _FILLING * (PROBE_CHARS // len(_FILLING) if long else 1)
    return f'{one} <{tag}> & "{other}" {" ".join(first)}\n\n{filling}{" ".join(words[PROBE_WORDS:])}'


@lru_cache(maxsize=64)  # each text is looked for several times in a row
def _words(probe: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(probe))


def _find(probe: str, prompt: str) -> tuple[int, int] | None:
    """Where a probe text begins and ends in a prompt, with other white space or line breaks too; None if not whole."""
    start, end = -1, 0
    for word in _words(probe):
        at = prompt.find(word, end)
        if at < 0:
            return None
        start, end = (at if start < 0 else start), at + len(word)
    return start, end


def _letters(rng: random.Random, length: int) -> str:
    return rng.randbytes(length).translate(_LETTER_OF).decode()
