"""Prompt text in the well-known chat formats, back to turns."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grm_plugin.conversation.reader import ConversationReader, Format
from grm_plugin.types import Conversation, Message

SYSTEM, USER, ASSISTANT, AGAIN = (
    Message("system", "Be brief."),
    Message("user", "What is 2 + 2?\n\nThink first."),
    Message("assistant", "It is 4."),
    Message("user", "Sure?"),
)

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"


def render(format: str, turns: Conversation, generation_prompt: bool = True) -> str:
    """The prompt that the chat templates of the format's models write."""
    if format == "chatml":
        text = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in turns)
        return text + "<|im_start|>assistant\n" * generation_prompt
    if format == "llama3":
        header = "<|start_header_id|>{}<|end_header_id|>\n\n"
        text = "".join(f"{header.format(turn.role)}{turn.content}<|eot_id|>" for turn in turns)
        return "<|begin_of_text|>" + text + header.format("assistant") * generation_prompt
    if format == "gemma":
        role = {"user": "user", "assistant": "model"}
        text = "".join(f"<start_of_turn>{role[turn.role]}\n{turn.content}<end_of_turn>\n" for turn in turns)
        return "<bos>" + text + "<start_of_turn>model\n" * generation_prompt
    if format == "deepseek":
        around = {"system": ("", ""), "user": ("<｜User｜>", ""), "assistant": ("<｜Assistant｜>", EOS)}
        return BOS + "".join(map_around(around, turns)) + "<｜Assistant｜>" * generation_prompt
    around = {
        "system": ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
        "user": ("[INST] ", "[/INST]"),
        "assistant": (" ", "</s>"),
    }
    return "<s>" + "".join(map_around(around, turns))


def map_around(around: dict[str, tuple[str, str]], turns: Conversation) -> list[str]:
    return [turn.content.join(around[turn.role]) for turn in turns]


PROMPT = render("chatml", (SYSTEM, USER))
NAMED: tuple[Format, ...] = ("chatml", "llama3", "gemma", "deepseek", "mistral")


CHATS = [(USER,), (USER, ASSISTANT, AGAIN), (SYSTEM, USER), (SYSTEM, USER, ASSISTANT, AGAIN)]


@pytest.mark.parametrize(
    ("format", "turns"),
    [(format, turns) for format in NAMED for turns in CHATS if format != "gemma" or SYSTEM not in turns],
)
def test_named_formats(format: Format, turns: Conversation) -> None:
    prompt = render(format, turns)

    assert ConversationReader(format).read(prompt) == turns
    assert ConversationReader("auto").read(prompt) == turns


TURN = st.text(st.characters(exclude_characters="<[｜|", codec="utf-8")).filter(lambda text: text == text.strip())


@pytest.mark.parametrize("format", NAMED)
@given(contents=st.lists(TURN, min_size=1, max_size=7).filter(lambda contents: len(contents) % 2 == 1))
def test_any_chat_comes_back(format: Format, contents: list[str]) -> None:
    turns = tuple(Message(("user", "assistant")[index % 2], content) for index, content in enumerate(contents))

    assert ConversationReader(format).read(render(format, turns)) == turns


@pytest.mark.parametrize(
    "generation",
    [
        "<|im_start|>assistant\n",
        "<|im_start|>assistant\n<think>\n",
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "",
    ],
)
def test_the_generation_prompt_is_no_turn(generation: str) -> None:
    assert ConversationReader("auto").read(render("chatml", (SYSTEM, USER), False) + generation) == (SYSTEM, USER)


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        (f"{BOS}<｜User｜>Hi<｜Assistant｜><think>\n", (Message("user", "Hi"),)),
        (f"{BOS}<｜User｜>Hi<｜Assistant｜></think>", (Message("user", "Hi"),)),
        ("<bos><bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n", (Message("user", "Hi"),)),
        (
            "<s> [INST] Hi [/INST] Hello </s>[INST] Yes [/INST]",
            tuple(Message(*turn) for turn in [("user", "Hi"), ("assistant", "Hello "), ("user", "Yes")]),
        ),
        (
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nSure, here",
            (Message("user", "Hi"), Message("assistant", "Sure, here")),
        ),
        (
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n",
            (Message("user", "Hi"), Message("assistant", "Yes")),
        ),
        (
            "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n4<|eot_id|>",
            (Message("user", "Hi"), Message("tool", "4")),
        ),
    ],
    ids=["reasoning", "no reasoning", "doubled bos", "mistral spaces", "prefilled answer", "closed answer", "tool"],
)
def test_variants(prompt: str, turns: Conversation) -> None:
    assert ConversationReader("auto").read(prompt) == turns


@pytest.mark.parametrize("format", ["auto", *NAMED])
@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Just a question",
        "User: Hi\nAssistant:",
        "What does <|im_start|>user mean?",
        "What does [INST] do?",
        "<|im_start|>assistant\n",
        "of a cut prompt<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\nnever closed<|im_start|>assistant\n",
        "<|im_start|>user\nHi<|im_end|>loose<|im_start|>assistant\n",
        "<start_of_turn>user\nHi<start_of_turn>model\n",
    ],
)
def test_what_does_not_fit_is_one_user_turn(format: Format, prompt: str) -> None:
    assert ConversationReader(format).read(prompt) == (Message("user", prompt),)


def test_plain_takes_everything_as_one_user_turn() -> None:
    assert ConversationReader("plain").read(PROMPT) == (Message("user", PROMPT),)


PIECES = [
    "<|im_start|>",
    "user\n",
    "<|im_end|>",
    "\n",
    "<s>",
    "[INST]",
    "[/INST]",
    "</s>",
    "<｜User｜>",
    BOS,
    EOS,
    "word",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
@example("<|im_start|>user\nword<|im_end|>word<|im_start|>assistant\n")
def test_no_word_is_ever_lost(prompt: str) -> None:
    turns = ConversationReader("auto").read(prompt)

    assert "".join(turn.role + turn.content for turn in turns).count("word") == prompt.count("word")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "unit",
    [
        "<|im_start|>",
        "<|im_start|>user\n",
        "<|im_start|>" + "a" * 50,
        "[INST]",
        " ",
        "\n",
        "<s>",
        "<bos> ",
        "<｜User｜>",
        BOS,
    ],
)
def test_a_megabyte_prompt_is_read(unit: str) -> None:
    flood = unit * (1_000_000 // len(unit))

    for prompt in (flood, f"<|im_start|>user\n{flood}<|im_end|>\n", f"<s>{flood}[INST]", f"{flood}<｜User｜>"):
        assert ConversationReader("auto").read(prompt)


def test_transformers_is_loaded_for_format_tokenizer_only() -> None:
    code = (
        "import sys; from grm_plugin.conversation.reader import ConversationReader; "
        "ConversationReader('auto').read('Hi'); sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
