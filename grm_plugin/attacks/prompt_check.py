"""The format measure on prompts: does an attack change where the responses of a rendered prompt begin and end?

It works with any template. What a template writes around the responses, their fences, is learnt by rendering harmless
ones; then the attacked prompt is read back by them. Every fence must stand in it exactly once, the texts between must
be the responses in the order shown, and the tokenizer must find the special tokens that it finds in the harmless
prompt, and no other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from grm_plugin.attacks.attack import Attack
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.engines.chat_tokens import token_ids
from grm_plugin.judging.prompts import PromptBuilder, draw_marker
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.types import Conversation, Criterion, Group, Message

CLEAN = Group(
    (Message("user", "Which planets have rings?"), Message("assistant", "All four giants."), Message("user", "Names?")),
    ("Jupiter, Saturn, Uranus and Neptune.", "Saturn.", "Mars and Venus."),
    "Jupiter, Saturn, Uranus, Neptune",
    "Four names are asked for.",
)
"""The group that is attacked: three responses, a reference and a rubric. One earlier turn is the policy's own."""

SLOTS = ("response 1", "response 2", "response 3", "earlier turn", "reference", "rubric")
"""Where an attack can stand in a group."""

BY_CRITERIA = (
    Criterion("complete", "Names all planets with rings.", 2.0),
    Criterion("brief", "Names planets and nothing else.", kind="yes_no"),
)
"""What it is scored by, where the GRM is asked for criteria."""

CRITERION = "criterion"
"""The slot of an attack in the text of one of them."""


@dataclass(frozen=True, slots=True)
class Change:
    """An attack that changed something: `place` says where it stood, `what` what went wrong."""

    attack: str
    place: str
    what: str


@dataclass(frozen=True, slots=True)
class Fences:
    """What a template writes before, between and after the responses."""

    texts: tuple[str, ...]

    def read(self, prompt: str) -> tuple[str, ...] | None:
        """The responses in a prompt; None where a fence is missing, out of place or not the only one of its kind."""
        found, start = [], 0
        for index, fence in enumerate(self.texts):
            at = prompt.find(fence, start)
            if at < 0 or prompt.count(fence) != 1:
                return None
            if index:
                found.append(prompt[start:at])
            start = at + len(fence)
        return tuple(found)


Renderer = Callable[[Group, tuple[int, ...]], Conversation]


def check_prompts(
    attacks: Sequence[Attack], config: Config, tokenizer: Any = None, meta_tokenizer: Any = None
) -> tuple[int, list[Change]]:
    """Render every attack in every slot and every order of three responses, and read the prompts back.

    Args:
        attacks: the corpus.
        config: its templates and its defences.
        tokenizer: of the GRM, with a chat template; None leaves special tokens unchecked.
        meta_tokenizer: of the meta RM; likewise.

    Returns:
        The number of prompts, and what changed.
    """
    builder = PromptBuilder.of(config)
    orders = list(permutations(range(shown_together(config))))
    marker = draw_marker(random.SystemRandom(), replace(CLEAN, responses=tuple(attack.on("") for attack in attacks)))
    first = orders[0]
    checks = [
        _Check(
            "GRM prompt",
            lambda group, order: builder.listwise(group, order, marker).messages,
            first,
            tokenizer,
            _template_kwargs(config.engine),
        ),
        _Check(
            "meta RM prompt",
            lambda group, order: builder.meta(group, order, marker, "fine"),
            first,
            meta_tokenizer,
            _template_kwargs(config.meta_rm),
        ),
    ]
    by_criteria = _Check(
        "GRM prompt by criteria",
        lambda group, order: builder.listwise(_scored(group), order, marker).messages,
        first,
        tokenizer,
        _template_kwargs(config.engine),
    )
    prompts, changes = 0, []
    for attack in attacks:
        for slot in slots(config):
            group, _ = sanitize(attacked(attack, slot), first, config.judge)
            for check in checks if config.judge.pairs else (*checks, by_criteria):
                if slot == CRITERION and check is not by_criteria:
                    continue
                prompts += len(orders)
                changes += [Change(attack.id, f"{slot}, {check.name}", what) for what in check.problems(group, orders)]
    return prompts, changes


def _scored(group: Group) -> Group:
    """The group with criteria: its own, where one of them is attacked."""
    return group if group.criteria else replace(group, criteria=BY_CRITERIA)


def shown_together(config: Config) -> int:
    """How many of the clean responses the GRM is shown together: three, if it reads so many."""
    return next(n for n in range(len(CLEAN.responses), 0, -1) if n <= config.judge.list_size and config.judge.reads(n))


def slots(config: Config) -> tuple[str, ...]:
    """The slots that the GRM is shown; criteria only where it does not read pairs."""
    criteria = () if config.judge.pairs else (CRITERION,)
    return (*SLOTS[: shown_together(config)], *SLOTS[len(CLEAN.responses) :], *criteria)


def attacked(attack: Attack, slot: str) -> Group:
    """The clean group with an attack in one of `SLOTS`, or in a criterion."""
    if slot == CRITERION:
        complete, brief = BY_CRITERIA
        return replace(CLEAN, criteria=(replace(complete, text=attack.on(complete.text)), brief))
    if slot == "reference":
        return replace(CLEAN, reference=attack.on(CLEAN.reference or ""))
    if slot == "rubric":
        return replace(CLEAN, rubric=attack.on(CLEAN.rubric or ""))
    if slot == "earlier turn":
        first, own, last = CLEAN.conversation
        return replace(CLEAN, conversation=(first, replace(own, content=attack.on(own.content)), last))
    responses = list(CLEAN.responses)
    index = SLOTS.index(slot)
    responses[index] = attack.on(responses[index])
    return replace(CLEAN, responses=tuple(responses))


class _Check:
    """Checks prompts of one template against the prompt of the clean group."""

    def __init__(
        self,
        name: str,
        render: Renderer,
        order: tuple[int, ...],
        tokenizer: Any,
        template_kwargs: Mapping[str, Any],
    ) -> None:
        self.name = name
        self._render = render
        self._tokenizer = tokenizer
        self._template_kwargs = template_kwargs
        self._fences = _learn(render, order)
        self._special = self._special_ids(render(CLEAN, order))

    def problems(self, group: Group, orders: Sequence[tuple[int, ...]]) -> Iterator[str]:
        """What is wrong with the prompts of an attacked group."""
        for index, order in enumerate(orders):
            prompt = self._render(group, order)
            if self._fences.read(prompt[0].content) != tuple(group.responses[shown] for shown in order):
                yield f"order {order}: the responses cannot be told from the rest of the prompt"
            if index == 0 and self._special_ids(prompt) != self._special:
                yield "the tokenizer finds special tokens in it: name them in judge.control_tokens"

    def _special_ids(self, prompt: Conversation) -> list[int]:
        if self._tokenizer is None:
            return []
        special = set(self._tokenizer.all_special_ids)
        ids = token_ids(self._tokenizer, prompt, add_generation_prompt=True, template_kwargs=self._template_kwargs)
        return [token for token in ids if token in special]


def _template_kwargs(model: object) -> Mapping[str, Any]:
    return model.chat_template_kwargs if isinstance(model, VLLMConfig) else {}


def _learn(render: Renderer, order: tuple[int, ...]) -> Fences:
    """The fences that a template writes."""
    stand_ins = tuple(f"\ue000{index}\ue000" for index in order)
    text = render(replace(CLEAN, responses=stand_ins), order)[0].content
    pieces = []
    for stand_in in stand_ins:
        piece, _, text = text.partition(stand_in)
        pieces.append(piece)
    # The outermost pieces hold the rest of the prompt: of these, the lines that touch a response are the fence.
    opening = pieces[0][pieces[0].rstrip().rfind("\n") + 1 :]
    closing = text[: len(text) - len(text.lstrip())] + text.lstrip().partition("\n")[0]
    return Fences((opening, *pieces[1:], closing))
