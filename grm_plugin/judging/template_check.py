"""Whether a template shows what is to be judged: it is rendered with probe texts, which are then looked for.

A template may be rendered without error and still leave out a response: it holds placeholders of another language, or
a part of them. Its prompt is then the same whatever the policy writes, and its scores look like scores.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterator, Sequence

from grm_plugin.errors import PromptError
from grm_plugin.types import Group, Message

PROBE_WORDS = 30
"""Of a probe text: enough to notice a template that cuts what it shows."""

_SINGLE_BRACES = re.compile(r"(?<![{\\\w])\{ ?([a-zA-Z_][^{}\n%#\"]{0,60})\}(?!\})")

Render = Callable[[Group, tuple[int, ...], str], str]
"""Renders the responses of a group in an order, fenced by a marker."""


def check_template(
    name: str, source: str, render: Render, sizes: Sequence[int], use_reference: bool = True, all_turns: bool = True
) -> list[str]:
    """Render a template for lists of these sizes, and look for every text in it.

    Args:
        name: what messages call it.
        source: its text.
        render: renders it.
        sizes: how many responses a list may have.
        use_reference: whether references are shown at all.
        all_turns: whether earlier turns of the conversation must be shown; else leaving them out is a warning.

    Returns:
        A warning of what is left out that may be left out; none, or one.

    Raises:
        PromptError: it cannot be rendered; it leaves out a response or a turn, shows responses in another order than it
            was given, or fences some of them only.
    """
    rng = random.SystemRandom()
    marker = _letters(rng, string.ascii_uppercase, 6)
    rendered = [
        (group, order, render(group, order, marker)) for size in sizes for group, order in _probes(rng, size)
    ]  # all of them before any is looked at: what a template raises says more than what it leaves out
    left_out: dict[str, None] = {}
    for group, order, prompt in rendered:
        for problem in _problems(group, order, prompt, marker, all_turns):
            raise PromptError(f"template {name} {problem}{_hint(source)}")
        left_out |= dict.fromkeys(_left_out(group, prompt, use_reference, all_turns))
    if not left_out:
        return []
    return [f"template {name} does not show {', '.join(left_out)}: responses are judged without"]


def _probes(rng: random.Random, size: int) -> Iterator[tuple[Group, tuple[int, ...]]]:
    """Groups of probe texts: of one and of several turns, with and without reference and rubric, in two orders."""
    forth = tuple(range(size))
    one, several = (
        (Message("user", _probe(rng)),),
        tuple(Message(role, _probe(rng)) for role in ("system", "user", "assistant", "user")),
    )
    for conversation, reference, rubric, order in (
        (one, False, False, forth),
        (several, False, False, forth[::-1]),
        (one, True, False, forth[::-1]),
        (one, False, True, forth),
        (several, True, True, forth),
    ):
        responses = tuple(_probe(rng) for _ in range(size))
        yield (
            Group(conversation, responses, _probe(rng) if reference else None, _probe(rng) if rubric else None),
            order,
        )


def _problems(group: Group, order: tuple[int, ...], prompt: str, marker: str, all_turns: bool) -> Iterator[str]:
    shown = [prompt.find(group.responses[index]) for index in order]
    if -1 in shown:
        which = f"response {shown.index(-1) + 1} of {len(order)}"
        yield f"does not show {which}: write {{% for response in responses %}} {{{{ response }}}} {{% endfor %}}"
    if group.conversation[-1].content not in prompt:
        yield "does not show the last turn of the conversation: write {{ query }}, or all of {{ messages }}"
    if all_turns and any(turn.content not in prompt for turn in group.conversation):
        yield (
            "does not show the earlier turns of a conversation: write {% for message in messages %} "
            "[{{ message.role }}] {{ message.content }} {% endfor %}"
        )
    if shown != sorted(shown):
        yield "shows the responses in another order than `responses` has: the scores would go to other ones"
    bounds = [0, *shown]
    if marker in prompt and any(marker not in prompt[start:end] for start, end in zip(bounds, shown, strict=False)):
        yield f"fences some of {len(order)} responses by {{{{ marker }}}} and others not: write it before each of them"


def _left_out(group: Group, prompt: str, use_reference: bool, all_turns: bool) -> Iterator[str]:
    if group.reference is not None and use_reference and group.reference not in prompt:
        yield "reference answers ({{ reference }})"
    if group.rubric is not None and group.rubric not in prompt:
        yield "grading notes ({{ rubric }})"
    if not all_turns and any(turn.content not in prompt for turn in group.conversation):
        yield "earlier turns ({{ messages }})"


def _hint(source: str) -> str:
    found = _SINGLE_BRACES.search(source)
    if found is None:
        return ""
    return (
        f". {found[0]!r} looks like Python's format, which nothing fills in: the variables are {{{{ messages }}}}, "
        "{{ query }}, {{ responses }}, {{ n }}, {{ marker }}, {{ reference }} and {{ rubric }}"
    )


def _probe(rng: random.Random) -> str:
    """A text that stands in no template by chance."""
    return " ".join(_letters(rng, string.ascii_letters, 7) for _ in range(PROBE_WORDS))


def _letters(rng: random.Random, letters: str, length: int) -> str:
    return "".join(rng.choices(letters, k=length))
