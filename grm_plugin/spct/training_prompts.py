"""The prompts of training: an item is shown to the GRM exactly as the service would show it.

The hinted prompt names the right verdict too. It is used for sampling only: the GRM is trained on the plain prompt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from grm_plugin._util.digests import digest
from grm_plugin._util.text_files import read_text
from grm_plugin.batch.items import Item
from grm_plugin.config import Config
from grm_plugin.engines.fingerprint import source_of
from grm_plugin.errors import ConfigError, GroupError, PromptError
from grm_plugin.judging.outcome import Target
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.judging.template_files import ENVIRONMENT
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Conversation, Group, Message, Prompt

_HINT_WORDS = re.compile(
    r"""
    \b (?: hints? | (?:was|were|been)\ told | (?: (?:known|given)\ | agrees?\ with\ (?:the|this)\ )? verdict
        | known\ (?:to\ be\ )? (?:the\ )? (?:best|better|correct|incorrect|right|wrong) ) \b
    | (?: \A | (?<=[.\n]) )  # a sentence with "the prompt says" and a word of the verdict such as "best"
      (?= [^.\n]* \b (?:best|highest|correct|incorrect) \b )
      [^.\n]* \b (?:prompt|instructions?)\ (?:say|tell|state)s? \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words that a GRM would hardly use unless it had been given a hint."""

_EXAMPLE = Group((Message("user", "?"),), ("a",))

QUOTED_WORDS = 5
"""A critique that repeats this many words in a row from the hint shows the hint. A critique that has them by chance is
lost too, which costs less than training on critiques that mention a hint."""

SHORTEST_HINT_LINE = 12
"""A line of the hint with fewer words is looked for as a whole if it has at least this many characters."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """One item as it is shown to the GRM.

    Attributes:
        group: the item's texts, made safe and cut as the service does; the responses in the item's order.
        order: `order[position]` is the index of the response shown at `position`.
        marker: the random code that fences the responses.
        target: the right verdict, in positions and not indices.
        meta: the item's `meta`, for the hint: how much better the best response is, for example.
    """

    group: Group
    order: tuple[int, ...]
    marker: str
    target: Target
    meta: Mapping[str, Any] = field(default_factory=dict)


def present(item: Item, config: Config, seed: int) -> Presentation:
    """Shuffle the responses, draw a marker and make the texts safe. The result depends on the item and the seed only.

    Raises:
        GroupError: the item has more responses than `judge.list_size`, so the service would never show them together.
        WireError: its label does not fit its responses.
    """
    check_sizes([item], config)
    n = len(item.responses)
    rng = random.Random(f"{seed} {item.id}")
    order = tuple(rng.sample(range(n), n))
    best = tuple(sorted(order.index(index) for index in item.best))
    overall = replace(item.group, criteria=())  # what is trained is the overall score
    shown, _ = sanitize(overall, tuple(range(n)), config.judge)
    target = Target(n, best, item.label, config.judge.decimals)
    return Presentation(shown, order, draw_marker(rng), target, item.meta)


def check_sizes(items: Iterable[Item], config: Config) -> None:
    """Raises `GroupError` when an item has more responses than `judge.list_size`."""
    for item in items:
        n = len(item.responses)
        if n > config.judge.list_size:
            raise GroupError(
                f"item {item.id!r} has {n} responses but judge.list_size is {config.judge.list_size}: raise "
                f"--grm.judge.list_size to {n}, or give fewer responses"
            )


class TrainingPrompts:
    """Renders the prompts of items.

    Args:
        config: the configuration to serve with; its templates are used.
        single: template for single responses, which are scored 0 or 1 in training; None takes the built-in one.
        hint: template of the hinted prompt; None takes the built-in one. Its variables are `prompt` (the plain prompt),
            `n`, `best` (the number of the best response as shown, as text), `label` (of a single response, 0 or 1) and
            `meta` (the item's).

    Attributes:
        digest: a digest of the templates `single` and `hint`, of the former as it renders an example.
        single_digest: a digest of the text of the template `single`, empty for the built-in one.

    Raises:
        ConfigError: the configuration reads another verdict than the one that is trained.
        PromptError: a template is missing, is not a Jinja2 template, or uses an unknown variable.
    """

    def __init__(self, config: Config, single: Path | None = None, hint: Path | None = None) -> None:
        if (config.judge.answer, config.judge.scale) != ("boxed", (MIN_SCORE, MAX_SCORE)):
            raise ConfigError(
                f"judge.answer is {config.judge.answer} on the scale {list(config.judge.scale)}: a GRM is trained to "
                "write \\boxed scores from 1 to 10; leave judge.answer and judge.scale (or judge.preset) out"
            )
        own = resources.files("grm_plugin.spct") / "templates"
        self._serving = PromptBuilder.of(config)
        alone = config.judge.model_copy(update={"preset": None, "list_size": 1})
        self._single = PromptBuilder(str(single or own / "single.txt"), None, alone)
        try:
            source = read_text(Path(str(hint or own / "hint.txt")))
            self._hint = ENVIRONMENT.from_string(source)
        except (OSError, ValueError, jinja2.TemplateSyntaxError) as error:
            raise PromptError(f"hint template {hint}: {error}") from None
        self.digest = digest([source, self._single.listwise(_EXAMPLE, (0,), "MARKER").messages[0].content])
        self.single_digest = digest(source_of(single)) if single else ""
        for builder in (self._serving, self._single):
            builder.check()
        self._render_hint("?", Target(2, best=(0,)), {})
        self._render_hint("?", Target(1, label=1), {})

    def plain(self, shown: Presentation) -> Prompt:
        """The prompt without a hint: the one of serving, or for a single response the one of training."""
        builder = self._serving if shown.target.label is None else self._single
        return builder.listwise(shown.group, shown.order, shown.marker)

    def hinted(self, shown: Presentation) -> Prompt:
        """The plain prompt with the right verdict added to it."""
        plain = self.plain(shown)
        *before, last = plain.messages
        hinted = Message(last.role, self._render_hint(last.content, shown.target, shown.meta))
        return Prompt((*before, hinted), shown.order)

    def meta(self, shown: Presentation, critique: str) -> Conversation:
        """What the meta RM reads about a critique: the same conversation as in serving."""
        return self._serving.meta(shown.group, shown.order, shown.marker, critique)

    def gives_away(self, shown: Presentation, critique: str) -> bool:
        """Whether a critique that was sampled with a hint shows it, by quoting it or by its choice of words."""
        plain = self.plain(shown).messages[-1].content
        hinted = self.hinted(shown).messages[-1].content
        added = {line.strip() for line in hinted.splitlines()} - {line.strip() for line in plain.splitlines()}
        written, known = _words(critique), _words(plain)
        quoted = any(part in written and part not in known for line in added for part in _word_runs(line))
        return quoted or any(word.lower() not in plain.lower() for word in _HINT_WORDS.findall(critique))

    def _render_hint(self, prompt: str, target: Target, meta: Mapping[str, Any]) -> str:
        best = ", ".join(str(position + 1) for position in target.best)
        try:
            text = self._hint.render(prompt=prompt, n=target.n, best=best, label=target.label, meta=meta)
        except Exception as error:  # a user's template can raise anything
            raise PromptError(
                f"hint template: {error}; see grm_plugin.spct.training_prompts for the variables"
            ) from None
        if text.rstrip("\n") == prompt:
            raise PromptError("hint template: it adds nothing to the prompt; use best (n > 1) and label (n = 1)")
        return text.rstrip("\n")


def _words(text: str) -> str:
    """The words of a text with a blank around each, in small letters, and with 0 for every number."""
    words = re.findall(r"\w+", re.sub(r"\d+", "0", text.casefold()))
    return f" {' '.join(words)} "


def _word_runs(line: str) -> Iterator[str]:
    """Every run of `QUOTED_WORDS` words in a line of the hint; a line of fewer words as a whole."""
    words = _words(line).split()
    if len(words) >= QUOTED_WORDS or len(line) >= SHORTEST_HINT_LINE:
        for start in range(max(1, len(words) - QUOTED_WORDS + 1)):
            yield f" {' '.join(words[start : start + QUOTED_WORDS])} "
