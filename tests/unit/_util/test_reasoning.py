"""Reasoning and answer are told apart for every mark, without losing a character, in linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.reasoning import after_reasoning, closing_mark, split_reasoning, with_opening

MARKS = [
    ("<think>", "</think>"),
    ("<THINK>", "</Think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<inner_thoughts>", "</inner_thoughts>"),
    ("<mm:think>", "</mm:think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<think >", "</think >"),
    ("<think type='deep'>", "</think>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<thinking_process>", "</thinking_process>"),
    ("<chain-of-thought>", "</chain-of-thought>"),
    ("<reasoning_content>", "</reasoning_content>"),
    ("<seed:cot_budget_reflect>", "</seed:cot_budget_reflect>"),
    ("<antThinking>", "</antThinking>"),
    ("<|think|>", "<|/think|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>thought", "<unused95>"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|> commentary <|message|>", "<|channel|>final<|message|>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis <|constrain|>json<|message|>", "<|channel|>final <|constrain|>json<|message|>"),
]
ENDS = ["", " ", "\n", "\n\n  "]

every_mark = pytest.mark.parametrize(("opening", "closing"), MARKS, ids=[opening for opening, _ in MARKS])


@every_mark
@pytest.mark.parametrize("start", ENDS)
def test_reasoning_that_ends(opening: str, closing: str, start: str) -> None:
    text = f"{start}{opening}\nOne draft.\n{closing}\nThe answer is 42."
    reasoning, answer, ends = split_reasoning(text)
    assert (reasoning + answer, answer, ends) == (text, "\nThe answer is 42.", True)
    assert after_reasoning(text) == "\nThe answer is 42."


@every_mark
def test_reasoning_that_never_ends(opening: str, closing: str) -> None:
    text = f"{opening}\nOne draft.\nThe answer is 42."
    assert split_reasoning(text) == (text, "", False)
    assert after_reasoning(text) is None
    assert after_reasoning(f"An answer.\n{text}") is None
    assert after_reasoning(f"{opening}a{closing}\n{text}") is None


@pytest.mark.parametrize(
    "text",
    [
        "Okay. <think>\nScores: 1",
        "Scores: \\boxed{8} <think> no",
        "**<think>**\nScores: 1",
        "<｜Assistant｜><think>\nScores: 1",
        "<|start|>assistant<|channel|>analysis<|message|>Scores: 1",
        "Scores: 1<|start|>assistant<|channel|>analysis<|message|>No",
        "analysis Let me see. Scores: 1",
    ],
)
def test_reasoning_that_opens_within_a_critique_and_never_ends(text: str) -> None:
    assert after_reasoning(text) is None


@pytest.mark.parametrize(("opening", "closing"), [mark for mark in MARKS if "channel" not in mark[0]])
def test_the_prompt_may_have_opened_the_reasoning(opening: str, closing: str) -> None:
    for text, answer in (
        (f"One draft.\n{closing}\nIt is 42.", "\nIt is 42."),
        (f"a\n{closing} It is 42.", " It is 42."),
    ):
        assert split_reasoning(text) == (text[: -len(answer)], answer, True)
        assert after_reasoning(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("analysisWe compare.assistantfinalIt is 42.", "It is 42."),
        ("  analysis(First) we compare.assistantfinalIt is 42.", "It is 42."),
        ("commentaryTo call.assistantfinalIt is 42.", "It is 42."),
    ],
)
def test_channels_whose_tokens_were_dropped(text: str, answer: str) -> None:
    assert after_reasoning(text) == answer
    assert split_reasoning(text) == (text[: -len(answer)], answer, True)


def test_a_dropped_channel_that_never_ends() -> None:
    assert after_reasoning("analysisWe compare. Scores: 1") is None
    # Of a policy's response nothing may be taken for reasoning that is not: a word like this may begin an answer.
    assert split_reasoning("analysisWe compare.") == ("", "analysisWe compare.", True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is 42.",
        "Analysis: it is 42.",
        "analysis: it is 42.",
        "analysis\nIt is 42.",
        "Write `<think>` before you start.",
        "It begins with <think> and never ends.",
        "<thinker>no</thinker>",
        "[thinking about it] yes",
        "< think >",
    ],
)
def test_an_answer_without_reasoning(text: str) -> None:
    assert after_reasoning(text) == text
    assert split_reasoning(text) == ("", text, True)


@pytest.mark.parametrize(
    "text",
    [
        "Put your thoughts between <think> and </think> tags, then answer.",
        "Put them between <think> and </think>\nand answer then.",
        "The form is:\n<think>\nyour thoughts\n</think>\nThen the answer.",
        "The form is:\n```\n<think>\n...\n</think>\n```\nThen the answer.",
        "It ends its thoughts with\n```\n</think>\n```\nThen it answers.",
        "```python\nprint('</think>')\n```",
    ],
)
def test_a_response_that_speaks_of_the_marks_keeps_its_words(text: str) -> None:
    assert split_reasoning(text) == ("", text, True)


@pytest.mark.parametrize(
    "to", ["commentary to=functions.f <|constrain|>json", "analysis to=python", "commentary  to=f"]
)
def test_a_call_of_a_tool_in_a_channel_is_no_reasoning(to: str) -> None:
    call = f'<|channel|>{to}<|message|>{{"a": 1}}<|call|>'
    assert split_reasoning(call) == ("", call, True)
    thought = "<|channel|>analysis<|message|>Hm.<|end|>"
    assert split_reasoning(f"{thought}<|start|>assistant{call}") == (thought, f"<|start|>assistant{call}", True)


def test_an_answer_in_a_format_of_its_own_ends_the_reasoning_too() -> None:
    thought = "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>"
    assert split_reasoning(thought + "{}") == (thought, "{}", True)


def test_the_last_reasoning_of_a_critique_counts_and_the_first_of_a_response() -> None:
    text = "<think>a</think>\nScores: 1\n<think>b</think>\nScores: 2"
    assert after_reasoning(text) == "\nScores: 2"
    assert split_reasoning(text).answer == "\nScores: 1\n<think>b</think>\nScores: 2"
    assert split_reasoning("<think>a</think> <reasoning>b</reasoning>c").answer == "c"


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>\n"),
        ("<｜Assistant｜><think>", "<think>"),
        ("[/INST][THINK]", "[THINK]"),
        ("User: Hi\nAssistant: <think>", "<think>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("What do models mean by <think>", ""),
        ("Say `<think>`", ""),
    ],
)
def test_a_response_begins_with_the_mark_that_its_prompt_ends_in(prompt: str, opening: str) -> None:
    assert with_opening(prompt, "Hm.</think>42") == f"{opening}Hm.</think>42"
    assert with_opening(prompt, "<think>Hm.</think>42") == "<think>Hm.</think>42"


PIECES = st.sampled_from(
    [*(mark for pair in MARKS for mark in pair), "\n", " ", "a", "analysis", "assistantfinal", "<", "["]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(TEXTS)
def test_no_character_is_lost(text: str) -> None:
    reasoning, answer, ends = split_reasoning(text)
    assert reasoning + answer == text
    assert ends or not answer


@given(TEXTS)
def test_the_answer_of_a_critique_is_an_end_of_it_without_a_closing_mark(text: str) -> None:
    answer = after_reasoning(text)
    if answer is not None:
        assert text.endswith(answer)
        assert after_reasoning(answer) is not None or answer.lstrip().startswith(("analysis", "commentary"))


@given(TEXTS, TEXTS)
def test_whatever_was_reasoned_the_answer_is_the_same(reasoning: str, answer: str) -> None:
    if after_reasoning(answer) == answer and "assistantfinal" not in answer:
        assert after_reasoning(f"<think>{reasoning}</think>{answer}") in (answer, None)


FLOOD = 300_000


@pytest.mark.timeout(60)  # a quadratic search needs minutes for each of these
@pytest.mark.parametrize(
    "unit",
    [
        *("<think>", "</think>", "<think></think>", "<think>\n", "</think>\n", "<x:think", "[think", "</", "\n", " \t"),
        *("<|channel|>", "<|channel|>analysis", "<|channel|>final", "<|channel|> ", "analysis", "assistantfinal", "a:"),
    ],
)
def test_a_flood_is_taken_apart(unit: str) -> None:
    flood = unit * (FLOOD // len(unit))
    for text in (flood, f"<think>{flood}", f"<think>{flood}</think>x", f"a\n{flood}", f"analysisA{flood}"):
        reasoning, answer, _ = split_reasoning(text)
        assert reasoning + answer == text
        answered = after_reasoning(text)
        assert answered is None or text.endswith(answered)


@every_mark
@pytest.mark.parametrize("before", ["", "An answer.\n", "<think>One.</think>\n"])
def test_the_mark_that_ends_reasoning_which_breaks_off(opening: str, closing: str, before: str) -> None:
    text = f"{before}{opening}\nOne draft.\nThe ans"
    mark = closing_mark(text)
    if "<|channel|>" in opening:
        assert mark == ""
    else:
        assert after_reasoning(f"{text}\n{mark}\nThe answer is 42.") == "\nThe answer is 42."
        assert closing_mark(f"{text}\n{mark}\nThe answer is 42.") == ""


def test_no_mark_ends_what_is_no_reasoning() -> None:
    assert [closing_mark(text) for text in ("", "Scores: 8", "Response 1 begins with <think> and stops")] == [""] * 3
    assert closing_mark("<think>\nOne") == "</think>"
    assert closing_mark("<|START_THINKING|>One") == "<|END_THINKING|>"
