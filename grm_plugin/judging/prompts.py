"""Prompts: templates (text files, Jinja2) rendered into the chat messages of the GRM and the meta RM.

A template becomes one user message. It may use

    messages    the conversation so far, each with .role and .content
    query       the content of its last turn
    responses   the responses, in the order shown, made safe and cut to length
    n           their number
    marker      six random capital letters, fresh per request, that fence each response
    reference   a ground-truth answer, or None
    rubric      a grading note of the sample, or None

Values are inserted once and never expanded again, so braces in a response are harmless.
"""

from __future__ import annotations

import random
import string
from dataclasses import replace
from importlib import resources
from pathlib import Path

import jinja2

from grm_plugin.config import Config
from grm_plugin.errors import PromptError
from grm_plugin.judging.sanitizing import neutralize_special_tokens
from grm_plugin.types import Conversation, Group, Message, Prompt

MARKER_LENGTH = 6

ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # plain text for a model, never HTML
    trim_blocks=True,
    lstrip_blocks=True,
)
"""In which every template of a prompt is read."""


def draw_marker(rng: random.Random, group: Group | None = None) -> str:
    """A fence that no response can forge: it is drawn after the responses were written (26^6 values).

    It stands, in capitals or not, in no text of `group`: not even a response full of guesses holds it.
    """
    texts = "" if group is None else _texts(group).upper()
    while (marker := "".join(rng.choices(string.ascii_uppercase, k=MARKER_LENGTH))) in texts:
        pass
    return marker


class PromptBuilder:
    """Renders groups with the given template files; None takes the built-in ones.

    `control_tokens` are further ones that must not stand in a critique (`judge.control_tokens`).

    Raises:
        PromptError: a file is missing, is no valid template, or uses an unknown variable (at the first rendering).
    """

    def __init__(
        self, listwise: str | None = None, meta_rm: str | None = None, control_tokens: tuple[str, ...] = ()
    ) -> None:
        self._control_tokens = control_tokens
        self._listwise = _load(listwise, "listwise.txt")
        self._meta_rm = _load(meta_rm, "meta_rm.txt")

    @classmethod
    def of(cls, config: Config) -> PromptBuilder:
        """Renders with the templates of a configuration."""
        meta_rm = config.meta_rm.template if config.meta_rm else None
        return cls(config.judge.template, meta_rm, config.judge.control_tokens)

    def check(self) -> None:
        """Render both templates once, with and without the optional parts, so that a bad one is found at start-up."""
        plain = Group((Message("user", "?"),), ("a", "b"))
        for group in (plain, replace(plain, reference="r", rubric="r"), replace(plain, responses=("a",))):
            order = tuple(range(len(group.responses)))
            self.listwise(group, order, "MARKER")
            self.meta(group, order, "MARKER", "c")

    def listwise(self, group: Group, order: tuple[int, ...], marker: str) -> Prompt:
        """The GRM's prompt for one order of the group's responses."""
        return Prompt((_render(self._listwise, group, order, marker),), order)

    def meta(self, group: Group, order: tuple[int, ...], marker: str, critique: str) -> Conversation:
        """The meta RM's conversation: the group in the order that the critique saw, then the critique, made safe."""
        # A critique may quote a control token that it has put together again.
        safe = neutralize_special_tokens(critique, self._control_tokens)
        return (_render(self._meta_rm, group, order, marker), Message("assistant", safe))


def _texts(group: Group) -> str:
    turns = (turn.content for turn in group.conversation)
    return "\n".join((*turns, *group.responses, group.reference or "", group.rubric or ""))


def _render(template: jinja2.Template, group: Group, order: tuple[int, ...], marker: str) -> Message:
    variables = {
        "messages": group.conversation,
        "query": group.conversation[-1].content if group.conversation else "",
        "responses": [group.responses[index] for index in order],
        "n": len(order),
        "marker": marker,
        "reference": group.reference,
        "rubric": group.rubric,
    }
    try:
        text = template.render(variables)
    except Exception as error:  # a template is the user's code: it can divide by zero, or add a text to None
        raise PromptError(f"template {template.name}: {error}; it may use {', '.join(variables)}") from None
    return Message("user", text.rstrip("\n"))


def _load(path: str | None, builtin: str) -> jinja2.Template:
    try:
        if path is None:
            source = resources.files("grm_plugin.judging").joinpath("templates", builtin).read_text(encoding="utf-8")
        else:
            source = Path(path).read_text(encoding="utf-8")
        template = ENVIRONMENT.from_string(source)
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"template {path} cannot be read: {error}") from None
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"template {path}, line {error.lineno}: {error.message}") from None
    template.name = path or builtin
    return template
