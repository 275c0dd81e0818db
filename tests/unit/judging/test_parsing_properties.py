"""The parser on any text: it reads what was rendered, never raises, and takes linear time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from grm_plugin._util.reasoning import after_reasoning
from grm_plugin.judging.parsing import parse
from grm_plugin.types import DETAIL_CHARS, Completion, Scores, Unparsed

ANALYSIS = "Specific Criteria: Correctness (60%), Tone (40%)\nAnalysis: Response 1 is right, Response 2 is rude.\n"
SCORES = st.lists(st.integers(1, 10), min_size=1, max_size=16)


@given(SCORES, st.text(), st.text())
def test_round_trip_behind_any_text(scores: list[int], before: str, behind: str) -> None:
    """Nothing but other verdicts before the last Scores line, and no prose behind it, changes what it says."""
    assume(after_reasoning(f"{before}\n") is not None)
    verdict = f"Scores: \\boxed{{{', '.join(map(str, scores))}}}"
    for text in (verdict, f"{before}\n{verdict}", f"{ANALYSIS}{verdict}\nRemark: {behind.replace(chr(10), ' ')}"):
        parsed = parse(Completion(text), len(scores))

        assert isinstance(parsed, Scores)
        assert parsed.values == tuple(scores)


FRAGMENTS = st.sampled_from(
    [
        "Scores",
        "Final ",
        "评分",
        "Response 2",
        "> ",
        ":",
        "\n",
        "\\boxed",
        "{",
        "}",
        "8",
        ",",
        " ",
        "<think>",
        "</think>",
        "Analysis",
        "#",
        "(",
        ")",
        ".",
        "-",
        "５",
        "\ud800",
    ]
)


@given(
    st.one_of(st.text(), st.text(st.characters(codec=None)), st.lists(FRAGMENTS).map("".join)),
    st.integers(0, 5),
    st.sampled_from(["reject", "accept"]),
    st.sampled_from(["stop", "length", "abort", ""]),
)
@example("Scores: \\boxed{" + "9" * 10_000 + "}", 1, "accept", "stop")
def test_total_on_any_text(text: str, n: int, decimals: str, finish_reason: str) -> None:
    parsed = parse(Completion(text, finish_reason), n, decimals)  # type: ignore[arg-type]

    if isinstance(parsed, Scores):
        assert len(parsed.values) == n
        assert all(1 <= value <= 10 for value in parsed.values)
        assert parsed.principles in text
        assert parsed.analysis in text
    else:
        assert len(parsed.detail) <= DETAIL_CHARS


PAIRS = st.tuples(st.integers(1, 10), st.integers(1, 10))
FINAL = (
    *("Final scores: {}", "**Revised Scores:**\n{}", "### Overall scores\n\n{}", "Scores (after verification): {}"),
    *("Output: {}", "## Final verdict\nScores: {}", "The corrected scores are {}.", "综合评分：{}", "<final_scores>{}"),
)
DRAFTS = (
    *("Scores: {}", "**Score**: {}", "### Scores\n{}", "评分：{}", "I would give {} at first.", "{}", "> Scores: {}"),
    *("Initial scores: {}", "Tone: {}", "<scores>{}</scores>", "| Scores | {} |", "Scores (as a draft): {}"),
)


def boxed(pair: tuple[int, int], each: bool) -> str:
    return ", ".join(f"\\boxed{{{score}}}" for score in pair) if each else f"\\boxed{{{pair[0]}, {pair[1]}}}"


@given(
    st.lists(st.tuples(st.sampled_from(DRAFTS), PAIRS, st.booleans())),
    st.lists(st.tuples(st.sampled_from(DRAFTS), PAIRS, st.booleans())),
    st.sampled_from(FINAL),
    PAIRS,
    st.sampled_from(["\n", "\n\nThen again:\n", "\nIt is close.\n"]),
)
def test_a_draft_is_never_read(before: Any, behind: Any, final: str, verdict: tuple[int, int], between: str) -> None:
    """One verdict is marked final, others stand round it: it is read, or none. With quoted lines only below, it is."""
    drafts = [[form.format(boxed(pair, each)) for form, pair, each in blocks] for blocks in (before, behind)]
    text = between.join([*drafts[0], final.format(boxed(verdict, each=False)), *drafts[1]])

    parsed = parse(Completion(text), 2)

    if isinstance(parsed, Scores):
        assert parsed.values == verdict
    else:
        assert not all(line.startswith("> ") for line in drafts[1])


FLOOD = 300_000
"""Characters."""


@pytest.mark.timeout(60)  # a quadratic parser needs minutes for each of these
@pytest.mark.parametrize(
    "unit",
    [
        *("\n", " ", "#", "1. ", "\r", "(", ",", "9", "-", "{"),
        *(
            "Scores:\n",
            "Scores (",
            "Scores ()",
            "Scores\n(",
            "Scores: \\boxed{",
            "\\boxed{",
            "final ",
            "overall scores ",
        ),
        *("<think>", "</think>", "Analysis:\nScores:\n", "> Scores: \\boxed{1}\n", "`*_ \t"),
        *("Scores: \\boxed{\n", "\\boxed{8}, ", "Final scores x:\n", "Final: 8\n", "Final verdict\n", "评分", "总"),
        *("<scores>", "<b>", "</b>", "Response 2 ", "(2,", "\u3000", "🙂", "Scores (draft)\n", "\\boxed \n", "1.1"),
    ],
)
def test_a_flood_of_anything_is_read(unit: str) -> None:
    flood = unit * (FLOOD // len(unit))

    behind_flood = parse(Completion(f"Analysis: {flood}\nScores: \\boxed{{8, 3}}"), 2)
    assert isinstance(behind_flood, Scores)
    assert behind_flood.values == (8, 3)
    for text in (
        flood,
        f"Scores: {flood}",
        f"Scores\n{flood}",
        f"Scores: \\boxed{{{flood}",
        f"Scores: \\boxed{flood}{{",
    ):
        assert isinstance(parse(Completion(text), 2), Unparsed)
