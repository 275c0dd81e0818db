"""Tokens in a prompt's text that stand for images, sound and video: refused, and prose and code are not."""

from __future__ import annotations

import pytest

from grm_plugin.conversation.media import refuse_placeholders
from grm_plugin.conversation.reader import ConversationReader
from grm_plugin.errors import PromptError


@pytest.mark.parametrize(
    ("prompt", "token"),
    [
        ("<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n", r"<\|vision_start\|>"),
        ("<|video_pad|>", r"<\|video_pad\|>"),
        ("<|audio_bos|><|AUDIO|><|audio_eos|>", r"<\|audio_bos\|>"),
        ("<|start_header_id|>user<|end_header_id|>\n\n<|image|>What?", r"<\|image\|>"),
        ("<|begin_of_image|><|image|><|end_of_image|>", r"<\|begin_of_image\|>"),
        ("<|user|>\n<|image_1|>\nWhat?<|end|>", r"<\|image_1\|>"),
        ("<start_of_turn>user\n<start_of_image>What?", "<start_of_image>"),
        ("\n\n<image_soft_token><image_soft_token>", "<image_soft_token>"),
        ("<s>[INST]What?[IMG][IMG_BREAK][IMG_END][/INST]", r"\[IMG"),
        ("[INST] [IMG]\nWhat? [/INST]", r"\[IMG\]"),
        ("<image>\nWhat?", "<image>"),
        ("USER: <image>\nWhat? ASSISTANT:", "<image>"),
        ("[INST] <image>\nWhat? [/INST]", "<image>"),
        ("<|im_start|>user\n<video>What?<|im_end|>", "<video>"),
        ("<img><IMG_CONTEXT><IMG_CONTEXT></img>", "<IMG_CONTEXT>"),
        ("(<image>./</image>)\nWhat?", r"<image>\./</image>"),
        ("<video>\n</video>\n<image>\nWhat?", "<image>"),
    ],
)
def test_a_token_that_stands_for_an_image_is_named(prompt: str, token: str) -> None:
    with pytest.raises(PromptError, match=f"the prompt holds {token}.*leave such samples out"):
        ConversationReader("auto").read(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "What does the <image> tag of an RSS feed hold?",
        "Mend this:\n<image>\n  <url>x</url>\n</image>",
        "Mend this:\n<video>\n<source src=x>\n</video>",
        '<image href="a.svg"/>',
        "<img src=x>",
        "[IMG]https://example.org/a.png[/IMG] is a picture",
        "<|im_start|>user\nWhat is an image?<|im_end|>\n",
        "arr[IMG_SIZE]",
        "<|begin_of_text|>",
    ],
)
def test_prose_and_code_are_read(prompt: str) -> None:
    assert ConversationReader("auto").read(prompt)


FLOODS = ("[IMG]", "[IMG]a", "<|", "<|image", "<image>\n", "\n<", "[INST]", "|>", "[IMG]" + "a" * 1900)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", FLOODS)
def test_two_megabytes_are_read(unit: str) -> None:
    flood = unit * (2_000_000 // len(unit)) + "</image>"
    if "[IMG]" in unit:
        with pytest.raises(PromptError, match=r"the prompt holds \[IMG\]"):
            refuse_placeholders(flood)
    else:
        refuse_placeholders(flood)
