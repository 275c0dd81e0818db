"""What the GRM may see of a group: texts cut to length, and every one made safe. In judging and in training."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from grm_plugin._util.text import encodable, shows_nothing, strip_invisible
from grm_plugin.config import JudgeConfig
from grm_plugin.judging.cutting import cut_response, cut_turn, without_reasoning
from grm_plugin.types import Group

_CONTROL_TOKEN = re.compile(
    r"""
      [<＜] (?= [|｜] [^\s<>|｜＞]{1,64}+ [|｜]?+ [>＞]  # <|im_end|>, <｜User｜>; not the operators <| and <|>
          | /?+ \w{1,32}+ \| >
          | /?+ (?: s | bos | eos | pad | unk | mask | sop | eop | fim_\w{1,16}+ | (?:start|end)_of_\w{1,16}+
                 | (?: unused | reserved_ ) \d{1,5}+ | (?: seed | mask ) : \w{1,16}+ | (?: BOS | EOS ) _TOKEN ) >
          | < /?+ SYS >> )
    | \[ (?= /?+ (?: INST | SYSTEM_PROMPT | AVAILABLE_TOOLS | TOOL_RESULTS | TOOL_CALLS | TOOL_CONTENT | THINK | IMG
                   | IMG_BREAK | IMG_END | AUDIO | BEGIN_AUDIO | ARGS | CALL_ID | MODEL_SETTINGS | PREFIX | MIDDLE
                   | SUFFIX | PAD | CLS | SEP | MASK | gMASK | sMASK | UNK | BOS | EOS ) \]
              | e~\[                                  # MiniMax's [e~[
              | \| \w{1,32}+ \| \] )                   # EXAONE's [|user|]
    """,
    re.VERBOSE,
)


def sanitize(
    group: Group, members: tuple[int, ...], config: JudgeConfig, limit: int | None = None
) -> tuple[Group, tuple[int, ...]]:
    """The group's responses `members` as the GRM may see them, and the characters left out of each.

    `limit` is the longest response in characters, `judge.max_response_chars` if it is None.

    Raises:
        GroupError: one of the texts is no text.
    """
    group = replace(group, responses=tuple(group.responses[member] for member in members))
    group = _mapped(group, lambda text: visible(text, config))  # before cutting, or padding pushes text out of sight
    cuts = [cut_response(response, config, limit or config.max_response_chars) for response in group.responses]
    # Control tokens are broken up last: what was left out or cut may have stood inside one.
    shown = _mapped(
        replace(
            group,
            conversation=tuple(cut_turn(turn, config) for turn in group.conversation),
            responses=tuple(text for text, _ in cuts),
        ),
        lambda text: neutralize_special_tokens(text, config.control_tokens),
    )
    if not config.use_reference:
        shown = replace(shown, reference=None)
    return shown, tuple(cut for _, cut in cuts)


def says_nothing(response: str, config: JudgeConfig) -> bool:
    """Whether a reader of the response would see nothing, `judge.reasoning: strip` being done.

    Raises:
        GroupError: it is no text.
    """
    text = visible(response, config)
    return shows_nothing(without_reasoning(text) if config.reasoning == "strip" else text)


def visible(text: str, config: JudgeConfig) -> str:
    """A whole text as the GRM may see it, before anything is cut.

    Raises:
        GroupError: it is no text.
    """
    text = encodable(text)
    return strip_invisible(text) if config.invisible == "strip" else text


def _mapped(group: Group, change: Callable[[str], str]) -> Group:
    return replace(
        group,
        conversation=tuple(replace(turn, content=change(turn.content)) for turn in group.conversation),
        responses=tuple(change(response) for response in group.responses),
        reference=None if group.reference is None else change(group.reference),
        rubric=None if group.rubric is None else change(group.rubric),
        criteria=tuple(
            replace(criterion, name=change(criterion.name), text=change(criterion.text)) for criterion in group.criteria
        ),
        principles=None if group.principles is None else change(group.principles),
    )


def neutralize_special_tokens(text: str, further: tuple[str, ...] = ()) -> str:
    """The text with a space inside every chat control token (`< |im_end|>`, `[ INST]`), which makes it plain text.

    A response under judgment is hostile: without this it could end its own turn in the GRM's prompt. `further` are
    control tokens, of at least two characters, that are not among the well-known ones.
    """
    safe = text
    if any(bracket in text for bracket in "<[＜"):  # most texts have none, and the search takes ten times as long
        safe = _CONTROL_TOKEN.sub(lambda bracket: f"{bracket[0]} ", text)
    return _starts(further).sub(lambda start: f"{start[0]} ", safe) if further else safe


@lru_cache
def _starts(tokens: tuple[str, ...]) -> re.Pattern[str]:
    """The first character of each of these tokens, where the rest follows; so overlapping ones are found too."""
    return re.compile("|".join(f"{re.escape(token[0])}(?={re.escape(token[1:])})" for token in tokens))
