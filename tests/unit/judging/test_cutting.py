"""What the GRM reads of long responses: reasoning gives way first, then what tools say, and the answer last."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin._util.fences import REASONING, fenced, parts_of
from grm_plugin.config import JudgeConfig
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.judging.cutting import cut_response, cut_turn
from grm_plugin.judging.judge import Judge
from grm_plugin.judging.sanitizing import sanitize
from grm_plugin.types import Group, Message
from support.factories import by_number, judge_one, make_config, responses_shown, scoring

OPTIONS = ("keep", "strip", "cut_first")
LIMIT = 24_000
THOUGHT = "<think>" + "r" * 45_000 + "</think>"
ANSWER = "The answer is 42." + "a" * 10_000


def config(**keys: Any) -> JudgeConfig:
    return make_config(judge=keys).judge


@pytest.mark.parametrize(
    ("reasoning", "of_the_thought", "left_out"),
    [("keep", 24_000, 21_015), ("strip", 0, 45_015), ("cut_first", 13_983, 31_032)],
)
def test_a_thinking_policy(reasoning: str, of_the_thought: int, left_out: int) -> None:
    shown, cut = cut_response(THOUGHT + ANSWER, config(reasoning=reasoning), LIMIT)
    assert shown.endswith(ANSWER)
    assert cut == left_out
    thought, note, _ = shown.removesuffix(ANSWER).partition(f"\n[... {left_out} characters cut ...]\n")
    assert bool(note) is bool(of_the_thought)
    assert len(thought) == of_the_thought * 3 // 4
    assert (shown.startswith("<think>r"), "</think>" in shown) == ((of_the_thought > 0,) * 2)


@pytest.mark.parametrize("reasoning", OPTIONS)
@pytest.mark.parametrize("thought", ["<think>{}</think>\n\n", "[THINK]{}[/THINK]", "{}\n</think>\n\n"])
@pytest.mark.parametrize("length", [1, 5_000, 23_999, 24_000])
def test_the_answer_is_whole_wherever_it_fits(reasoning: str, thought: str, length: int) -> None:
    answer = "A" * length
    for text in (thought.format("r" * 50_000), thought.format("r")):
        assert answer in cut_response(text + answer, config(reasoning=reasoning), LIMIT)[0]
    turn = {"role": "assistant", "reasoning_content": "r" * 50_000, "content": answer}
    assert answer in cut_response(to_response(turn), config(reasoning=reasoning), LIMIT)[0]


@pytest.mark.parametrize("reasoning", OPTIONS)
def test_an_answer_that_is_too_long_itself_loses_its_middle(reasoning: str) -> None:
    shown, cut = cut_response(THOUGHT + "A" * 30_000 + "END", config(reasoning=reasoning), LIMIT)
    assert "A" * 18_000 + "\n[... 6003 characters cut ...]\n" + "A" * 5_997 + "END" in shown
    assert cut == {"keep": 27_018, "strip": 51_018, "cut_first": 51_018}[reasoning]
    assert ("r" * 1000 in shown) is (reasoning == "keep")
    assert ("[... 45015 characters of reasoning cut ...]" in shown) is (reasoning == "cut_first")


@pytest.mark.parametrize("reasoning", OPTIONS)
def test_short_texts_stay_as_they_are(reasoning: str) -> None:
    for text in ("", " 4\n", "What does <think> do?", "a </think> in a line"):
        assert cut_response(text, config(reasoning=reasoning), LIMIT) == (text, 0)
    text = "<think>\nHm.\n</think>\n\nYes."
    shown = cut_response(text, config(reasoning=reasoning), LIMIT)
    assert shown == (("Yes.", 20) if reasoning == "strip" else (text, 0))


UNFINISHED = ["<think>Hm. The answer is 9", to_response({"role": "assistant", "content": "<think>The answer is 9"})]


@pytest.mark.parametrize("text", [*UNFINISHED, to_response("The answer is 9", prompt="assistant\n<think>\n")])
async def test_reasoning_that_never_ends_is_no_answer_where_reasoning_is_stripped(text: str) -> None:
    assert cut_response(text, config(reasoning="strip"), LIMIT)[0] == ""
    for reasoning, status in (("strip", "blank"), ("cut_first", "ok"), ("keep", "ok")):
        grm = scoring(by_number)
        judged = await judge_one(Judge(make_config(judge__reasoning=reasoning), grm), text, "8")
        assert [reward.status for reward in judged.rewards] == [status, "ok"]
        assert [reward.mean for reward in judged.rewards] == [1 if status == "blank" else 9, 8]
        shown = [response for prompt, _ in grm.calls for response in responses_shown(prompt)]
        assert any("The answer is 9" in response for response in shown) is (status == "ok")


async def test_a_blank_response_may_be_judged_like_any_other() -> None:
    grm = scoring(by_number)
    judge = Judge(make_config(judge={"reasoning": "strip", "blank_response": "judge"}), grm)
    judged = await judge_one(judge, "<think>9", "8")
    assert [reward.status for reward in judged.rewards] == ["ok", "ok"]
    assert {response for prompt, _ in grm.calls for response in responses_shown(prompt)} == {"", "8"}


async def test_a_call_of_a_tool_after_stripped_reasoning_is_something() -> None:
    call = {"function": {"name": "f", "arguments": '{"n": 7}'}}
    text = to_response({"role": "assistant", "reasoning_content": "3", "tool_calls": [call]})
    judged = await judge_one(Judge(make_config(judge__reasoning="strip"), scoring(by_number)), text)
    assert [(reward.status, reward.mean) for reward in judged.rewards] == [("ok", 7)]


def rollout(result: str, said: str, thought: str = "", times: int = 1) -> str:
    turns: list[dict[str, Any]] = []
    for number in range(times):
        call = {"id": str(number), "function": {"name": "look", "arguments": "{}"}}
        turns += [
            {"role": "assistant", "tool_calls": [call], "reasoning_content": thought},
            {"role": "tool", "tool_call_id": str(number), "content": result},
        ]
    return to_response([*turns, {"role": "assistant", "content": said}])


def test_a_long_result_loses_its_middle_and_keeps_its_fence() -> None:
    text = rollout("x" * 10_000, "Done.")
    shown, cut = cut_response(text, config(), LIMIT)
    body = "x" * 6_000 + "\n[... 2000 characters cut ...]\n" + "x" * 2_000
    assert shown == f"[tool call look]\n{{}}\n[end of tool call]\n\n{fenced('tool result', body, 'look')}\n\nDone."
    assert cut == 2000


def test_a_long_call_loses_its_middle_too() -> None:
    text = to_response({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "y" * 200}}]})
    shown, cut = cut_response(text, config(max_tool_chars=100), LIMIT)
    assert shown == fenced("tool call", "y" * 75 + "\n[... 100 characters cut ...]\n" + "y" * 25, "f")
    assert cut == 100


def test_reasoning_gives_way_first_then_the_tools_then_the_answer() -> None:
    text = rollout("x" * 8_000, "A" * 20_000, thought="r" * 8_000)
    shown, _ = cut_response(text, config(), LIMIT)
    assert "A" * 20_000 in shown
    assert "[... 8000 characters of reasoning cut ...]" in shown
    assert shown.count("x") == pytest.approx(LIMIT - 20_000, abs=150)
    assert [part.kind for part in parts_of(shown) if part.kind] == ["tool call", "tool result"]


def test_reasoning_between_tool_calls_is_stripped_everywhere() -> None:
    shown, cut = cut_response(rollout("ok", "Done.", thought="hm", times=3), config(reasoning="strip"), LIMIT)
    assert "hm" not in shown
    assert shown.startswith("[tool call look]")
    assert cut == 6


@pytest.mark.parametrize("times", [400, 4_000])
def test_more_calls_than_there_is_room_for(times: int) -> None:
    shown, cut = cut_response(rollout("x" * 50, "Done.", thought="r" * 100, times=times), config(), LIMIT)
    assert len(shown) < LIMIT + 300
    assert shown.endswith("\n\nDone.")
    assert "characters of tool calls and results cut ...]" in shown
    assert cut > 0
    kinds = [part.kind for part in parts_of(shown)]
    assert kinds.count("tool call") + kinds.count("tool result") >= 2
    assert not [part for part in parts_of(shown) if not part.kind and "[end of tool" in part.body]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("reasoning", OPTIONS)
def test_ten_megabytes_of_tool_output(reasoning: str) -> None:
    text = rollout("x" * 10_000_000, "Done.", thought="r" * 1_000_000)
    shown, cut = cut_response(text, config(reasoning=reasoning), LIMIT)
    assert len(shown) < 2 * LIMIT + 300
    assert shown.endswith("Done.")
    assert cut > 9_000_000


PIECES = st.lists(
    st.one_of(
        st.text("ab \n", max_size=80),
        st.builds(fenced, st.sampled_from(["tool call", "tool result"]), st.text("xy\n", max_size=300)),
        st.builds(fenced, st.just(REASONING), st.text("rs\n", max_size=300)),
    ),
    max_size=8,
).map("\n".join)


@given(PIECES, st.sampled_from(OPTIONS), st.integers(100, 400))
def test_nothing_is_longer_than_its_limit_and_what_fits_is_whole(text: str, reasoning: str, limit: int) -> None:
    shown, cut = cut_response(text, config(reasoning=reasoning, max_tool_chars=100), limit)
    notes = sum(len(line) + 6 for line in shown.split("\n") if line.startswith("[... "))
    assert len(shown) - notes <= limit * (2 if reasoning == "keep" else 1)
    if len(text) <= limit and reasoning != "strip" and max(map(len, (part.body for part in parts_of(text)))) <= 100:
        assert (shown, cut) == (text, 0)


@pytest.mark.parametrize("reasoning", OPTIONS)
def test_the_conversation_is_cut_where_tools_speak_and_its_reasoning_is_treated_alike(reasoning: str) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "y" * 300}}
    turns = to_conversation(
        [
            {"role": "user", "content": "Q" * 1_000},
            {"role": "assistant", "content": "<think>hm</think>Yes.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "x" * 300},
        ]
    )
    user, assistant, tool = (cut_turn(turn, config(max_tool_chars=100, reasoning=reasoning)) for turn in turns)
    assert user.content == "Q" * 1_000
    assert ("hm" in assistant.content) is (reasoning != "strip")
    assert assistant.content.endswith(
        fenced("tool call", "y" * 75 + "\n[... 200 characters cut ...]\n" + "y" * 25, "f")
    )
    assert tool.content == fenced("tool result", "x" * 75 + "\n[... 200 characters cut ...]\n" + "x" * 25, "f")


def test_a_tools_turn_in_a_prompt_that_is_a_text_is_cut_too() -> None:
    assert cut_turn(Message("tool", "x" * 300), config(max_tool_chars=100)).content == (
        "x" * 75 + "\n[... 200 characters cut ...]\n" + "x" * 25
    )
    assert cut_turn(Message("user", "x" * 300), config(max_tool_chars=100)).content == "x" * 300


def test_invisible_characters_hide_no_reasoning() -> None:
    group = Group((Message("user", "?"),), ("<th\u200bink>The answer is 9",))
    assert sanitize(group, (0,), config(reasoning="strip"))[0].responses == ("",)
    assert Judge(make_config(judge__reasoning="strip"), scoring(by_number)).is_blank(group.responses[0])
