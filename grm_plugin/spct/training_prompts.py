"""How an item is put before the GRM in training: exactly as the service would, in an order of its own.

The hinted prompt names the right verdict and is used for sampling only; what is trained on is the plain prompt.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

from grm_plugin.batch.items import Item, digest
from grm_plugin.config import Config
from grm_plugin.errors import GroupError, PromptError
from grm_plugin.judging.outcome import Target
from grm_plugin.judging.prompts import ENVIRONMENT, PromptBuilder, draw_marker
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.types import Conversation, Group, Message, Prompt

_HINT_WORDS = re.compile(
    r"""
    \b (?: hints? | (?:was|were|been)\ told | (?: (?:known|given)\ | agrees?\ with\ (?:the|this)\ )? verdict
        | known\ (?:to\ be\ )? (?:the\ )? (?:best|better|correct|incorrect|right|wrong) ) \b
    | (?: \A | (?<=[.\n]) )  # a sentence that says what the prompt says of a verdict, not of the request
      (?= [^.\n]* \b (?:best|highest|correct|incorrect) \b )
      [^.\n]* \b (?:prompt|instructions?)\ (?:say|tell|state)s? \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANY = Group((Message("user", "?"),), ("a",))
SHINGLE = 5
"""Words in a row of a hint that may not come back in a critique. A right critique that has them by chance is lost,
which costs less than a hint that is learned."""
SHORTEST_HINT_LINE = 12
"""Characters from which on a line of fewer words than that, when it comes back whole, is no coincidence either."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """One item as the GRM sees it: its texts made safe and cut, the responses in the item's own order.

    `order[position]` is the index of the response shown at `position`; `target` counts positions, not indices.
    """

    group: Group
    order: tuple[int, ...]
    marker: str
    target: Target


def present(item: Item, config: Config, seed: int) -> Presentation:
    """Shuffle the responses, draw a marker and make the texts safe; the same for the same item and seed.

    Raises:
        GroupError: the item has more responses than the service ever shows together.
        WireError: its label does not fit its responses.
    """
    check_sizes([item], config)
    n = len(item.responses)
    rng = random.Random(f"{seed} {item.id}")
    order = tuple(rng.sample(range(n), n))
    best = tuple(sorted(order.index(index) for index in item.best))
    shown, _ = sanitize(item.group, tuple(range(n)), config.judge)
    return Presentation(shown, order, draw_marker(rng), Target(n, best, item.label))


def check_sizes(items: Iterable[Item], config: Config) -> None:
    """Raises `GroupError` when an item has more responses than the service ever shows together."""
    for item in items:
        n = len(item.responses)
        if n > config.judge.list_size:
            raise GroupError(
                f"item {item.id!r} has {n} responses but judge.list_size is {config.judge.list_size}: raise "
                f"--grm.judge.list_size to {n}, or give fewer responses"
            )


class TrainingPrompts:
    """Renders presentations.

    Args:
        config: its templates, which are those of serving.
        single: template for single responses on the scale 0, 1 (training only); None takes the built-in one.
        hint: template of the hinted prompt; None takes the built-in one. It may use `prompt` (the plain text), `n`,
            `best` (the number under which the best response is shown, as text) and `label` (of a single response).

    Attributes:
        digest: of the templates that only training has.

    Raises:
        PromptError: a template is missing, is no template, or uses an unknown variable.
    """

    def __init__(self, config: Config, single: Path | None = None, hint: Path | None = None) -> None:
        own = resources.files("grm_plugin.spct") / "templates"
        self._pair = PromptBuilder.of(config)
        self._single = PromptBuilder(str(single or own / "single.txt"))
        try:
            source = Path(str(hint or own / "hint.txt")).read_text(encoding="utf-8")
            self._hint = ENVIRONMENT.from_string(source)
        except (OSError, UnicodeDecodeError, jinja2.TemplateSyntaxError) as error:
            raise PromptError(f"hint template {hint}: {error}") from None
        self.digest = digest([source, self._single.listwise(_ANY, (0,), "MARKER").messages[0].content])
        for builder in (self._pair, self._single):
            builder.check()
        self._render_hint("?", Target(2, best=(0,)))
        self._render_hint("?", Target(1, label=1))

    def plain(self, shown: Presentation) -> Prompt:
        """The GRM's prompt: for two responses and more the very one of serving."""
        builder = self._pair if shown.target.label is None else self._single
        return builder.listwise(shown.group, shown.order, shown.marker)

    def hinted(self, shown: Presentation) -> Prompt:
        """The plain prompt with the right verdict in it."""
        plain = self.plain(shown)
        *before, last = plain.messages
        hinted = Message(last.role, self._render_hint(last.content, shown.target))
        return Prompt((*before, hinted), shown.order)

    def meta(self, shown: Presentation, critique: str) -> Conversation:
        """The meta RM's conversation, the very one of serving."""
        return self._pair.meta(shown.group, shown.order, shown.marker, critique)

    def gives_away(self, shown: Presentation, critique: str) -> bool:
        """Whether a critique of the hinted prompt shows that there was a hint."""
        plain = self.plain(shown).messages[-1].content
        hinted = self.hinted(shown).messages[-1].content
        added = {line.strip() for line in hinted.splitlines()} - {line.strip() for line in plain.splitlines()}
        written, known = _words(critique), _words(plain)
        quoted = any(part in written and part not in known for line in added for part in _shingles(line))
        return quoted or any(word.lower() not in plain.lower() for word in _HINT_WORDS.findall(critique))

    def _render_hint(self, prompt: str, target: Target) -> str:
        best = ", ".join(str(position + 1) for position in target.best)
        try:
            text = self._hint.render(prompt=prompt, n=target.n, best=best, label=target.label)
        except Exception as error:  # a template is the user's code
            raise PromptError(
                f"hint template: {error}; see grm_plugin.spct.training_prompts for the variables"
            ) from None
        if text.rstrip("\n") == prompt:
            raise PromptError("hint template: it adds nothing to the prompt; use best (n > 1) and label (n = 1)")
        return text.rstrip("\n")


def _words(text: str) -> str:
    """The words of a text, a blank around each, in small letters and with the same number everywhere."""
    words = re.findall(r"\w+", re.sub(r"\d+", "0", text.casefold()))
    return f" {' '.join(words)} "


def _shingles(line: str) -> Iterator[str]:
    """Every run of `SHINGLE` words; all of a shorter line."""
    words = _words(line).split()
    if len(words) >= SHINGLE or len(line) >= SHORTEST_HINT_LINE:
        for start in range(max(1, len(words) - SHINGLE + 1)):
            yield f" {' '.join(words[start : start + SHINGLE])} "
