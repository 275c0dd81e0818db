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
        ("(<audio>./</audio>)\nWhat?", r"<audio>\./</audio>"),
        ("<|turn>user\n<|image>What?<turn|>", r"<\|image>"),
        ("USER: <|image start|>What?", r"<\|image start\|>"),
        ("<fake_token_around_image><global-img>", "<fake_token_around_image>"),
        ("<image 1> What is shown?", "<image 1>"),
        ("Picture 1: <img>https://example.org/a.png</img>\nWhat?", "Picture 1: <img>"),
        ("<｜hy_place▁holder▁no▁100｜>What?", "<｜hy_place▁holder▁no▁100｜>"),
        ("A chat of a user and an assistant. USER: <image>\nWhat? ASSISTANT:", "<image>"),
        ("<|User|>: <image>\nWhat?", "<image>"),
        ("### Human: <image>\nWhat?", "<image>"),
        ("Image-1: <image>\nImage-2: <image>\nWhat?", "<image>"),
        ("<s><image>What?", "<image>"),
        ("<|im_start|>user\nWhat is it?<image><|im_end|>", "<image>"),
        ("```\ncode\n```\n<image>\nWhat?", "<image>"),
        ("<|user|>\n[IMG]What?<|end|>", r"\[IMG\]"),
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
        "[IMG] is a tag of BBCode; what does [IMG_END] do?",
        "[INST] What does the [IMG] tag do? [/INST]",
        "![IMG](a.png) and `[IMG]`",
        "Mend this:\n  <Image>document.getElementById('a');",
        "docker run [OPTIONS]\n<image> [COMMAND]\n<image>:<tag>",
        "<|im_start|>user\n<image>:<tag> is a name of docker's<|im_end|>",
        "Mend this:\n```html\n<image>\n```",
        "Go on:\n<video>\n  <source src=x>",
        "<|intermediate|> <|revision|> <|division|> <|supervision|>",
        "<|begin_of_text|>",
    ],
)
def test_prose_and_code_are_read(prompt: str) -> None:
    assert ConversationReader("auto").read(prompt)


FLOODS = (
    "[IMG]",
    "[IMG]a",
    "<|",
    "<|image",
    "<image>\n",
    "\n<",
    "[INST]",
    "|>",
    "[IMG]" + "a" * 1900,
    "a [IMG] a",
    "<image>:",
    "```\n<image>\n",
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", FLOODS)
def test_two_megabytes_are_read(unit: str) -> None:
    flood = unit * (2_000_000 // len(unit)) + "</image>"
    if unit == "[IMG]":
        with pytest.raises(PromptError, match=r"the prompt holds \[IMG\]"):
            refuse_placeholders(flood)
    else:
        refuse_placeholders(flood)
