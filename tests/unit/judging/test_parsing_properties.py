"""The parser on any text: it reads what was rendered, never raises, and takes linear time."""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from grm_plugin.judging.parsing import DETAIL_CHARS, parse
from grm_plugin.types import Completion, Scores, Unparsed

ANALYSIS = "Specific Criteria: Correctness (60%), Tone (40%)\nAnalysis: Response 1 is right, Response 2 is rude.\n"
SCORES = st.lists(st.integers(1, 10), min_size=1, max_size=16)


@given(SCORES, st.text(), st.text())
def test_round_trip_behind_any_text(scores: list[int], before: str, behind: str) -> None:
    """Nothing before the last Scores line, and no prose behind it, changes what it says."""
    assume(not before.lstrip().startswith("<think>"))
    verdict = f"Scores: \\boxed{{{', '.join(map(str, scores))}}}"
    for text in (verdict, f"{before}\n{verdict}", f"{ANALYSIS}{verdict}\nRemark: {behind.replace(chr(10), ' ')}"):
        parsed = parse(Completion(text), len(scores))

        assert isinstance(parsed, Scores)
        assert parsed.values == tuple(scores)


FRAGMENTS = st.sampled_from(
    [
        "Scores",
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


MEGABYTE = 1_000_000


@pytest.mark.timeout(60)  # a quadratic parser needs hours for each of these
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
    ],
)
def test_a_megabyte_of_anything_is_read(unit: str) -> None:
    flood = unit * (MEGABYTE // len(unit))

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
