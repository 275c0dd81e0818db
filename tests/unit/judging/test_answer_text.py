"""The answer in a completion: only of one that ended, and only what follows its reasoning."""

from __future__ import annotations

import pytest

from grm_plugin.judging.answer_text import NoVote, answer_of
from grm_plugin.judging.parsing import parse
from grm_plugin.types import DETAIL_CHARS, Completion, Scores, Unparsed, UnparsedReason

VERDICT = r"Scores: \boxed{8, 3}"


@pytest.mark.parametrize(
    "reason",
    [
        *("stop", "STOP", "eos", "eos_token", "EOS-Token", "end_turn", "end_of_turn", "stop_sequence", "stop_str"),
        *("stop_token", "COMPLETE", "completed", "finished", " stop "),
        *("FinishReason.STOP", "FINISH_REASON_STOP"),
    ],
)
def test_a_completion_that_ended_is_read(reason: str) -> None:
    assert isinstance(parse(Completion(VERDICT, reason), 2), Scores)


@pytest.mark.parametrize(
    "reason",
    [
        *(
            "length",
            "LENGTH",
            "model_length",
            "max_tokens",
            "MAX_TOKENS",
            "max_output_tokens",
            "abort",
            "error",
            "limit",
        ),
        *("content_filter", "SAFETY", "tool_calls", "function_call", "timeout", "cancelled", "pause_turn", "", "None"),
        *("FinishReason.MAX_TOKENS", "not stop", "stopped by length", "x" * 1000),
    ],
)
@pytest.mark.parametrize("text", ["", "Analysis: so far", VERDICT, f"{VERDICT}\nWait, I mixed the two up. The corr"])
def test_any_other_completion_is_cut_whatever_it_holds(reason: str, text: str) -> None:
    parsed = parse(Completion(text, reason, tokens=7), 2)

    assert isinstance(parsed, Unparsed)
    assert (parsed.reason, parsed.text, parsed.tokens) == (UnparsedReason.TRUNCATED, text, 7)
    assert repr(reason[:20]) in parsed.detail
    assert len(parsed.detail) <= DETAIL_CHARS


@pytest.mark.parametrize(
    ("tokens", "max_tokens", "cut"),
    [(99, 100, False), (100, 100, True), (101, 100, True), (0, 100, False), (100, None, False)],
)
def test_a_completion_that_used_all_its_tokens_is_cut(tokens: int, max_tokens: int | None, cut: bool) -> None:
    parsed = parse(Completion(VERDICT, "stop", tokens), 2, max_tokens=max_tokens)
    assert isinstance(parsed, Unparsed) == cut
    if isinstance(parsed, Unparsed):
        assert parsed.reason is UnparsedReason.TRUNCATED
        assert "sampling.max_tokens" in parsed.detail


@pytest.mark.parametrize(
    "opening",
    [
        *("<think>", "<thinking>", "<mm:think>", "<seed:think>", "[THINK]", "<reasoning>", "<thought>", "<reflection>"),
        *("<|channel|>analysis<|message|>", "◁think▷", "<|begin_of_thought|>", "First.\n<think>", "<THINK>"),
    ],
)
def test_reasoning_that_never_ends_has_no_answer(opening: str) -> None:
    text = f"{opening}\nDraft\nScores: \\boxed{{1, 1}}\nHmm, response 1 is better, actually."
    with pytest.raises(NoVote) as lost:
        answer_of(Completion(text))
    assert lost.value.reason is UnparsedReason.NO_SCORES
    assert isinstance(parse(Completion(text), 2), Unparsed)


def test_a_bare_channel_that_never_ends_has_no_answer() -> None:
    text = "analysisLet me think.\nScores: \\boxed{1, 1} hmm, no, rather the reverse"
    assert isinstance(parse(Completion(text), 2), Unparsed)


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        *(("<think>", "</think>"), ("", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]")),
        *(("<reasoning>", "</reasoning>"), ("<seed:think>", "</seed:think>"), ("◁think▷", "◁/think▷")),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        ("analysisWe compare.", "assistantfinal"),
    ],
)
def test_the_answer_follows_the_reasoning(opening: str, closing: str) -> None:
    answer = answer_of(Completion(f"{opening}\nScores: \\boxed{{1, 1}}\n{closing}{VERDICT}"))
    assert answer == VERDICT


@pytest.mark.parametrize(
    ("text", "detail"), [("", ""), (" \n\u3000", ""), ("<think>a</think>\n", "nothing after the reasoning")]
)
def test_an_empty_answer(text: str, detail: str) -> None:
    with pytest.raises(NoVote) as lost:
        answer_of(Completion(text))
    assert (lost.value.reason, lost.value.detail) == (UnparsedReason.EMPTY, detail)
