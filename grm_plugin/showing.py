"""What the GRM may see of a group: responses cut to length, every text made safe. In judging and in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from grm_plugin.config import JudgeConfig
from grm_plugin.conversation import cut_middle, encodable, neutralize_special_tokens, strip_invisible
from grm_plugin.types import Group


def show(
    group: Group, members: tuple[int, ...], config: JudgeConfig, limit: int | None = None
) -> tuple[Group, tuple[int, ...]]:
    """The group's responses `members` as the GRM may see them, and the characters cut from each.

    `limit` is the longest response in characters, `judge.max_response_chars` if it is None.

    Raises:
        GroupError: one of the texts is no text.
    """
    group = replace(group, responses=tuple(group.responses[member] for member in members))
    group = _mapped(group, lambda text: visible(text, config))  # before cutting, or padding pushes text out of sight
    cuts = [cut_middle(response, limit or config.max_response_chars) for response in group.responses]
    # Control tokens are broken up last: what was left out or cut may have stood inside one.
    shown = _mapped(
        replace(group, responses=tuple(text for text, _ in cuts)),
        lambda text: neutralize_special_tokens(text, config.control_tokens),
    )
    if not config.use_reference:
        shown = replace(shown, reference=None)
    return shown, tuple(cut for _, cut in cuts)


def visible(text: str, config: JudgeConfig) -> str:
    """A whole text as the GRM may see it, before anything is cut.

    Raises:
        GroupError: it is no text.
    """
    text = encodable(text)
    return strip_invisible(text) if config.invisible == "strip" else text


def _mapped(group: Group, change: Callable[[str], str]) -> Group:
    return Group(
        tuple(replace(turn, content=change(turn.content)) for turn in group.conversation),
        tuple(change(response) for response in group.responses),
        None if group.reference is None else change(group.reference),
        None if group.rubric is None else change(group.rubric),
    )
