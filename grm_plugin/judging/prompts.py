"""Prompts: templates (text files, Jinja2) rendered into the chat messages of the GRM and the meta RM.

A template becomes one user message. It may use

    messages    the conversation so far, each with .role and .content
    query       the content of its last turn
    responses   the responses, in the order shown, made safe and cut to length
    n           their number
    marker      six random capital letters, fresh per request, that fence each response
    reference   a ground-truth answer, or None
    rubric      a grading note of the sample, or None
    criteria    what is scored one by one, each with .name, .text, .weight and .kind; empty for one overall score
    principles  what the user wants judged by (`judge.principles`), or None
    answer      how the verdict is to be written: `judge.answer`
    lowest      the lowest score, and
    highest     the highest: `judge.scale`
    pattern     `judge.pattern`, or None

A list with criteria has a template of its own, `judge.criteria_template`. A template must show all that is judged:
`PromptBuilder.check` renders it with probe texts and looks for them.
Values are inserted once and never expanded again, so braces in a response are harmless.
"""

from __future__ import annotations

import random
import string

from grm_plugin.config import Config, JudgeConfig
from grm_plugin.config.fields import SHIPPED
from grm_plugin.errors import PromptError
from grm_plugin.judging.sanitizing import neutralize_special_tokens
from grm_plugin.judging.template_check import Render, check_template
from grm_plugin.judging.template_files import TemplateFile, load_template
from grm_plugin.types import Conversation, Criterion, Group, Message, Prompt

MARKER_LENGTH = 6


def draw_marker(rng: random.Random, group: Group | None = None) -> str:
    """A fence that no response can forge: it is drawn after the responses were written (26^6 values).

    It stands, in capitals or not, in no text of `group`: not even a response full of guesses holds it.
    """
    texts = "" if group is None else _texts(group).upper()
    while (marker := "".join(rng.choices(string.ascii_uppercase, k=MARKER_LENGTH))) in texts:
        pass
    return marker


class PromptBuilder:
    """Renders groups with the given templates: files, or `builtin:` and a name; None takes the general ones.

    `judge` says what the GRM's prompt asks for, how many responses it may hold, and which control tokens must not stand
    in a critique.

    Raises:
        PromptError: a file is missing, is no valid template, or uses an unknown variable (at the first rendering).
    """

    def __init__(
        self, listwise: str | None = None, meta_rm: str | None = None, judge: JudgeConfig | None = None
    ) -> None:
        self._judge = judge or JudgeConfig()
        self._listwise = load_template(listwise or f"{SHIPPED}listwise")
        self._criteria = load_template(self._judge.criteria_template)
        self._meta_rm = load_template(meta_rm or f"{SHIPPED}meta_rm")

    @classmethod
    def of(cls, config: Config) -> PromptBuilder:
        """Renders with the templates of a configuration."""
        meta_rm = config.meta_rm.template if config.meta_rm else None
        return cls(config.judge.template, meta_rm, config.judge)

    def check(self) -> list[str]:
        """Render both templates with probe texts, for every length of list that can occur, and look for them.

        Returns:
            What is left out that may be left out: the reference, the rubric.

        Raises:
            PromptError: a template cannot be rendered, or leaves out what is judged.
        """
        sizes = [2] if self._judge.compares else list(range(1, self._judge.list_size + 1))
        use_reference = self._judge.use_reference
        # A judge of pairs is never asked for criteria.
        by_criteria = [] if self._judge.pairs else [self._criteria]
        grm = [self._listwise, *by_criteria]
        found = [
            left_out
            for template in (*grm, self._meta_rm)
            for left_out in check_template(
                *(template.name, template.source, self._renderer(template), sizes, use_reference),
                all_turns=template is not self._meta_rm,
                criteria=template in by_criteria,
            )
        ]
        for template in grm:
            if self._judge.principles or self._judge.principles_of:
                self._check_shows_principles(template, sizes[-1])
        return found

    def _check_shows_principles(self, template: TemplateFile, size: int) -> None:
        rng = random.Random(0)
        probe = draw_marker(rng) * 2
        criteria = (Criterion("probe", "probe"),) if template is self._criteria else ()
        group = Group((Message("user", "?"),), ("",) * size, principles=probe, criteria=criteria)
        if probe not in self._render(template, group, tuple(range(size)), draw_marker(rng, group)).content:
            raise PromptError(
                f"template {template.name} does not show judge.principles: write {{{{ principles }}}} where it is not "
                "none, or leave the principles out"
            )

    def listwise(self, group: Group, order: tuple[int, ...], marker: str) -> Prompt:
        """The GRM's prompt for one order of the group's responses."""
        template = self._criteria if group.criteria else self._listwise
        return Prompt((self._render(template, group, order, marker),), order)

    def meta(self, group: Group, order: tuple[int, ...], marker: str, critique: str) -> Conversation:
        """The meta RM's conversation: the group in the order that the critique saw, then the critique, made safe."""
        # A critique may quote a control token that it has put together again.
        safe = neutralize_special_tokens(critique, self._judge.control_tokens)
        return (self._render(self._meta_rm, group, order, marker), Message("assistant", safe))

    def _renderer(self, template: TemplateFile) -> Render:
        return lambda group, order, marker: self._render(template, group, order, marker).content

    def _render(self, template: TemplateFile, group: Group, order: tuple[int, ...], marker: str) -> Message:
        lowest, highest = self._judge.scale
        variables = {
            "messages": group.conversation,
            "query": group.conversation[-1].content if group.conversation else "",
            "responses": [group.responses[index] for index in order],
            "n": len(order),
            "marker": marker,
            "reference": group.reference,
            "rubric": group.rubric,
            "criteria": group.criteria,
            "principles": group.principles,
            "answer": self._judge.answer,
            "lowest": lowest,
            "highest": highest,
            "pattern": self._judge.pattern,
        }
        try:
            text = template.compiled.render(variables)
        except Exception as error:  # a template is the user's code: it can divide by zero, or add a text to None
            raise PromptError(f"template {template.name}: {error}; it may use {', '.join(variables)}") from None
        return Message("user", text.rstrip("\n"))


def _texts(group: Group) -> str:
    turns = (turn.content for turn in group.conversation)
    criteria = (text for criterion in group.criteria for text in (criterion.name, criterion.text))
    notes = (group.reference or "", group.rubric or "", group.principles or "")
    return "\n".join((*turns, *group.responses, *notes, *criteria))
