"""The readers of other judges' verdicts: each form is read as what it says, or is a missing vote; on any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.judging.answers import READERS, read
from grm_plugin.types import DETAIL_CHARS, Completion, Scores, Unparsed, UnparsedReason
from support.judge_forms import JUDGE_FORMS, JudgeForm, judge_of


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        pytest.param(answer, form, id=f"{answer}: {name}")
        for answer, forms in JUDGE_FORMS.items()
        for name, form in forms.items()
    ],
)
def test_a_form_is_read_as_what_it_says(answer: str, form: JudgeForm) -> None:
    completion = Completion(form.text, tokens=7)
    found = read(completion, form.n, judge_of(answer, **form.settings))
    assert (found.values if isinstance(found, Scores) else None) == form.verdict
    if isinstance(found, Unparsed):
        assert (found.text, found.tokens) == (form.text, 7)
        assert len(found.detail) <= DETAIL_CHARS


def test_every_reader_has_forms() -> None:
    assert set(JUDGE_FORMS) == set(READERS)


@pytest.mark.parametrize("answer", ["boxed", *READERS])
def test_what_all_readers_have_in_common(answer: str) -> None:
    verdict = {"boxed": r"Scores: \boxed{8, 3}", "json": '{"scores": [8, 3]}', "verdict": "[[A]]", "regex": "8, 3"}.get(
        answer, "Scores: [8, 3]" if answer == "brackets" else "Response 1: 8\nResponse 2: 3"
    )
    judge = judge_of(answer)

    def reason(completion: Completion, **limit: int) -> UnparsedReason | None:
        found = read(completion, 2, judge, **limit)
        return found.reason if isinstance(found, Unparsed) else None

    assert reason(Completion(f"Well.\n{verdict}")) is None
    assert reason(Completion(f"<think>Hm.</think>{verdict}")) is None
    assert reason(Completion(verdict, "length")) is UnparsedReason.TRUNCATED
    assert reason(Completion(verdict, tokens=100), max_tokens=100) is UnparsedReason.TRUNCATED
    assert reason(Completion(verdict, tokens=99), max_tokens=100) is None
    assert reason(Completion(" \n")) is UnparsedReason.EMPTY
    assert reason(Completion(f"<think>\n{verdict}")) is UnparsedReason.NO_SCORES


@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        ("verdict", "My verdict: [[A]]\nNo, B is better: [[B]]", "ambiguous"),
        ("verdict", "Both are fine.", "no_scores"),
        ("brackets", "Scores: [8, 3, 5]", "wrong_count"),
        ("brackets", "Scores: [8, 33]", "out_of_range"),
        ("json", '{"scores": [8, "good"]}', "not_integer"),
        ("json", '{"scores": [8, 3], "ratings": [3, 8]}', "ambiguous"),
        ("score", "Response 1: 8", "wrong_count"),
        ("regex", "none", "no_scores"),
    ],
)
def test_why_there_is_no_vote(answer: str, text: str, reason: str) -> None:
    found = read(Completion(text), 2, judge_of(answer))
    assert isinstance(found, Unparsed)
    assert found.reason == reason
    assert found.detail


@pytest.mark.parametrize("answer", [answer for answer in READERS if answer != "verdict"])
def test_a_score_on_another_scale_keeps_its_fractions(answer: str) -> None:
    judge = judge_of(answer, n=1, scale=[0, 4])
    texts = {"brackets": "Scores: [{}]", "json": '{{"score": {}}}', "score": "Score: {}/4", "regex": "{}"}
    found = [read(Completion(texts[answer].format(score)), 1, judge) for score in range(6)]
    assert [each.values[0] for each in found if isinstance(each, Scores)] == [1, 3.25, 5.5, 7.75, 10]
    assert isinstance(found[-1], Unparsed)


def test_the_analysis_is_what_stands_before_the_verdict() -> None:
    found = read(Completion("<think>x</think>A has proof.\n<answer>[[A]]</answer>"), 2, judge_of("verdict"))
    assert isinstance(found, Scores)
    assert found.analysis == "A has proof."


FRAGMENTS = st.sampled_from(
    [
        *(
            "[[",
            "]]",
            "[",
            "]",
            "{",
            "}",
            "A",
            "B",
            "C",
            ">",
            "=",
            "8",
            "3",
            ",",
            "/10",
            '"',
            "\n",
            " ",
            ":",
            "#",
            "**",
        ),
        *("Score", "Scores", "Final ", "Verdict", "[RESULT]", "<answer>", "</answer>", "Response 1", "says", "“", "”"),
        *('{"scores": ', "<quote_A>", "</quote_A>", "> ", "```json", "\ud800", "．", "\\", "-", "."),
    ]
)


@given(
    st.one_of(st.text(), st.text(st.characters(codec=None)), st.lists(FRAGMENTS).map("".join)),
    st.integers(0, 3),
    st.sampled_from([*READERS]),
)
def test_total_on_any_text(text: str, n: int, answer: str) -> None:
    found = read(Completion(text), n, judge_of(answer, n=3))
    if isinstance(found, Scores):
        assert len(found.values) == n
        assert all(1 <= value <= 10 for value in found.values)
        assert found.analysis in text
    else:
        assert len(found.detail) <= DETAIL_CHARS


FLOOD_CHARS = 300_000


@pytest.mark.timeout(60)  # a quadratic reader needs hours for each of these
@pytest.mark.parametrize("answer", READERS)
@pytest.mark.parametrize(
    "unit",
    [
        *("[[A]] ", "[[A]]\n", "[", "[[", "[1]", "[1, 2]\n", "{", '{"', '["\n', "[1,\n", "[x", '{"a": [', '"', "“a\n"),
        *(
            "Score: 8\n",
            "Score:\n",
            "Response 1: 8\n",
            "Final scores:\n",
            "<answer>",
            "<quote_A>",
            "</quote_A>",
            "> \n",
        ),
        *("It says:\n", "says ", ". ", "[RESULT] ", "Verdict: A or ", "8", "8, ", "\n", " ", "*", "<|x|>"),
    ],
)
def test_a_flood_of_anything_is_read(answer: str, unit: str) -> None:
    judge = judge_of(answer)
    flood = unit * (FLOOD_CHARS // len(unit))
    for text in (flood, f"Scores: {flood}\nVerdict: [[B]]"):
        found = read(Completion(text), 2, judge)
        assert isinstance(found, Scores | Unparsed)
        assert not isinstance(found, Scores) or found.values in ((1, 10), (10, 1), (8, 8), (1, 2), (8, 3))
