"""Refuses images, sound, video and files: the GRM reads text only, and cannot judge what it is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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

_PLACEHOLDER = re.compile(
    r"""
      <\| [^|<>\s]{0,32} (?: image | vision | video | audio | media | IMG ) [^|<>\s]{0,32} \|>   # Qwen, Llama, GLM
    | < (?: start | end | begin ) _of_ (?: image | audio | video ) >                             # Gemma
    | < (?: image | audio | video ) _ (?: soft_token | placeholder | token | pad ) >
    | <IMG_CONTEXT> | <im_patch> | <fake_token_around_image> | <image>\./</image>
    | (?-i: \[ (?: IMG_BREAK | IMG_END | BEGIN_AUDIO ) \]
          | \[IMG\] (?! [^\[]{0,2000}+ \[/IMG\] ) )                                              # Pixtral, not BBCode
    """,
    re.VERBOSE | re.IGNORECASE,
)
# LLaVA's, alone on a line or first in a turn. <image> and <video> are tags of XML and HTML too, which are closed again.
_BARE_PLACEHOLDER = re.compile(
    r"^ (?: [ \t]*+ (?: USER | HUMAN ) \s*+ : | [^\n]{0,64} (?: \[INST\] | [|｜]> ) )?? [ \t]*+ <(image|video|audio)>",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)


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
    found = _PLACEHOLDER.search(prompt)
    token = found[0] if found else None
    for name in dict.fromkeys(bare[1].lower() for bare in _BARE_PLACEHOLDER.finditer(prompt)):
        if f"</{name}>" not in prompt.lower():
            token = token or f"<{name}>"
    if token is not None:
        raise PromptError(f"the prompt holds {token}, which stands for an image, a sound or a video: {_ADVICE}")
