"""Refuses images, sound, video and files: the GRM reads text only, and cannot judge what it is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from grm_plugin.conversation.labels import is_missing
from grm_plugin.errors import PromptError

_MEDIA_TYPES = frozenset(
    (
        *("image_url", "image_file", "input_image", "output_image", "image_generation_call", "computer_screenshot"),
        *("audio_url", "input_audio", "output_audio", "video_url", "input_video", "file_url", "input_file"),
    )
)
# Common words: a tool that lists a folder says {"type": "file", "name": "a.txt"}, and that is text.
_COMMON_TYPES = frozenset(("image", "audio", "video", "media", "file", "document"))
_CONTENT_FIELDS = ("data", "source", "url", "image", "image_url", "audio", "video", "file", "file_data", "file_id")

_FIELDS = (
    *("image", "images", "image_url", "audio", "audios", "input_audio", "video", "videos", "file", "files"),
    "pixel_values",
)
"""Names under which messages hold them beside the text."""

# Each alternative begins with its bracket, so that only brackets are looked at.
_PLACEHOLDER = re.compile(
    r"""
    < (?: \| [^|<>\s]{0,32}
              (?: image | IMG | (?<![a-z]) (?: vision | video | audio | media | sound ) (?![a-z]) )
              [^|<>\s]{0,32} \|>                                                 # Qwen, Llama, GLM; not <|revision|>
        | \| (?: image | audio | video ) (?: \ (?: start | end | token ) \| )?+ >  # Gemma 4, Emu
        | (?: start | end | begin ) _of_ (?: image | audio | video ) >             # Gemma
        | (?: image | audio | video ) _ (?: soft_token | placeholder | token | pad ) >
        | (?P<tag> image | audio | video ) >\./</ (?P=tag) >                       # MiniCPM
        | image\ \d{1,2}>                                                          # MMMU
        | IMG_CONTEXT> | ImageHere> | im_patch> | fake_token_around_image> | global-img> | row_\d{1,2}_col_\d{1,2}>
        | ｜hy_place▁holder▁no▁\d{1,4}｜>                                           # Hunyuan
      )
    | \[ (?-i: BEGIN_AUDIO\]                                                      # Pixtral
              | IMG\] (?= \[IMG ) | (?: (?<= \|>\[ ) | (?<= \|>\n\[ ) | (?<= \|>user\n\[ ) ) IMG\] )
    """,
    re.VERBOSE | re.IGNORECASE,
)
_QWEN_VL = re.compile(r"[Pp](?i:icture \d{1,2}: <img>)")
# Pixtral's in Mistral's chat format; not BBCode, whose tags are closed again, and not "the [IMG] tag".
_IN_MISTRAL = re.compile(r"\[IMG\] (?! [^\[]{0,2000}+ \[/IMG\] ) (?! (?<= \w\ \[IMG\] ) \ \w )", re.VERBOSE)

# LLaVA's. They are tags of XML and HTML too, which are closed again, and names: `docker run <image>:<tag>`.
_BARE = re.compile(r"<(image|video|audio)>(?! [ ]?[\[:/@;)\"'`-] | \s*+ <(?:source|track)\b )", re.VERBOSE)
_BEFORE_BARE = re.compile(
    r"""
    (?: ^ [ \t]*+
      | (?: \b (?: USER | HUMAN | QUESTION | IMAGE | FRAME ) [ -]?+ \d{0,3}+ \s*+ :
          | \[INST\] | [|｜]> :?+ | <(?: s | bos | pad )> ) \s*+
    ) \Z
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_ENDS_TURN = re.compile(
    r"(?<=[?.!:]) <(?:image|video|audio)> \s*+ (?: <[|｜] | </s> | <end_of_turn> | \[/INST\] )", re.VERBOSE
)
_LOOKED_BACK = 80


_ADVICE = "the GRM reads text only; leave such samples out of the dataset"


def refuse_media_fields(fields: Mapping[str, Any], names: Iterable[str] = _FIELDS, what: str = "a message") -> None:
    """Check that nothing is held under these names by a message, or by a framework's sample.

    Raises:
        PromptError: something is.
    """
    for name in names:
        if name in fields and not is_missing(fields[name]):
            raise PromptError(f"{what} has {name}: images, sound and video are not supported, {_ADVICE}")


def unsupported(kind: object) -> str:
    """Why a part of a message is refused."""
    return f"message parts of type {str(kind)[:40]!r} are not supported: the GRM reads text only"


def refuse_media(value: Any) -> None:
    """Check that a plain value holds no image, sound or file, at any depth.

    Raises:
        PromptError: it does.
    """
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and (
                kind in _MEDIA_TYPES or (kind in _COMMON_TYPES and any(name in value for name in _CONTENT_FIELDS))
            ):
                raise PromptError(unsupported(kind))
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def refuse_placeholders(prompt: str) -> None:
    """Check that the text of a prompt has no token that stands for an image, a sound or a video.

    Raises:
        PromptError: it has one.
    """
    found = _PLACEHOLDER.search(prompt) or _QWEN_VL.search(prompt)
    if found is None and "[INST]" in prompt:
        found = _IN_MISTRAL.search(prompt)
    token = found[0].strip() if found else next(_bare_placeholders(prompt), None)
    if token is not None:
        raise PromptError(f"the prompt holds {token}, which stands for an image, a sound or a video: {_ADVICE}")


def _bare_placeholders(prompt: str) -> Iterator[str]:
    """Those that a turn or a line begins with, or a turn ends in; not in a block of code."""
    end, in_code = 0, False
    closed = {name: f"</{name}>" in prompt for name in ("image", "video", "audio")}
    for found in _BARE.finditer(prompt):
        in_code ^= prompt.count("```", end, found.start()) % 2 == 1
        end = found.end()
        before = prompt[max(0, found.start() - _LOOKED_BACK) : found.start()]
        stands = _BEFORE_BARE.search(before) or _ENDS_TURN.match(prompt, found.start())
        if stands and not in_code and not closed[found[1]]:
            yield found[0]
