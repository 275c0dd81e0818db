"""What is read of an answer by criteria, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.config import JudgeConfig
from grm_plugin.judging.read_criteria import read_criteria
from grm_plugin.types import Completion, Criterion, Scores, Unparsed, UnparsedReason

CRITERIA = (
    Criterion("right", "Is it right?", 3.0),
    Criterion("kind", "Is it kind?", 1.0, "yes_no"),
    Criterion("rude", "Is it rude?", 1.0, "penalty"),
)
GOOD = "Analysis: fine.\nScores:\n1: \\boxed{8, 3}\n2: \\boxed{yes, no}\n3: \\boxed{no, yes}"


def rows_of(text: str, judge: JudgeConfig | None = None) -> tuple[tuple[float, ...] | None, ...] | UnparsedReason:
    read = read_criteria(Completion(text, "stop", 50), 2, CRITERIA, judge or JudgeConfig())
    return read.by_criterion if isinstance(read, Scores) else read.reason


ALL = ((8.0, 3.0), (10.0, 1.0), (10.0, 1.0))


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD + "\n",
        GOOD.replace("Scores:", "**Scores:**"),
        GOOD.replace("Scores:", "#### Scores"),
        GOOD.replace("Scores:", "### Final Scores:"),
        GOOD.replace("1:", "Criterion 1 (right):").replace("2:", "- **2. kind**:").replace("3:", "3)"),
        GOOD.replace("yes", "Yes").replace("no", " NO "),
        "<think>Scores:\n1: \\boxed{1, 1}</think>" + GOOD,
        "Scores:\n1: \\boxed{2, 2}\n\nOn second thought:\n" + GOOD,  # a draft above
        "Response 1 ends with:\nScores:\n1: \\boxed{10, 1}\n\n" + GOOD,
        GOOD + "\n1: \\boxed{8,3}",  # the same twice
        GOOD.replace("\n2", "\n\n2"),
        GOOD.replace("yes", "\\text{yes}").replace("no", "\\textbf{No}"),
        GOOD.replace("yes, no", "\\text{yes, no}"),
    ],
)
def test_what_is_read(text: str) -> None:
    assert rows_of(text) == ALL


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (GOOD.replace("1: \\boxed{8, 3}\n", ""), (None, *ALL[1:])),
        (GOOD.replace("8, 3", "8"), (None, *ALL[1:])),
        (GOOD.replace("8, 3", "11, 3"), (None, *ALL[1:])),
        (GOOD.replace("8, 3", "yes, no"), (None, *ALL[1:])),
        (GOOD.replace("8, 3", "7.5, 3"), (None, *ALL[1:])),
        (GOOD.replace("yes, no}\n3", "8, 3}\n3"), (ALL[0], None, ALL[2])),
        (GOOD.replace("yes, no}\n3", "yes}\n3"), (ALL[0], None, ALL[2])),
        (GOOD + "\n1: \\boxed{3, 8}", (None, *ALL[1:])),
        (GOOD + "\n12: \\boxed{3, 8}", ALL),
        ("1: \\boxed{1, 1}\n" + GOOD, ALL),
    ],
)
def test_a_criterion_that_cannot_be_read_costs_itself(text: str, rows: tuple[object, ...]) -> None:
    assert rows_of(text) == rows


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", UnparsedReason.EMPTY),
        ("Analysis: fine.", UnparsedReason.NO_SCORES),
        ("1: \\boxed{8, 3}", UnparsedReason.NO_SCORES),
        ("Scores: \\boxed{8, 3}", UnparsedReason.NO_SCORES),
        ("Scores:\n1: \\boxed{8, 3, 4}", UnparsedReason.WRONG_COUNT),
        ("<think>" + GOOD, UnparsedReason.NO_SCORES),
        ("> Scores:\n> 1: \\boxed{8, 3}", UnparsedReason.NO_SCORES),
    ],
)
def test_what_is_no_vote(text: str, reason: UnparsedReason) -> None:
    assert rows_of(text) == reason


def test_a_cut_critique_is_no_vote() -> None:
    cut = read_criteria(Completion(GOOD, "length", 50), 2, CRITERIA, JudgeConfig())
    used_up = read_criteria(Completion(GOOD, "stop", 50), 2, CRITERIA, JudgeConfig(), max_tokens=50)
    assert isinstance(cut, Unparsed)
    assert isinstance(used_up, Unparsed)
    assert cut.reason == used_up.reason == UnparsedReason.TRUNCATED


def test_scores_are_on_the_judges_scale() -> None:
    text = GOOD.replace("8, 3", "5, 1")
    assert rows_of(text, JudgeConfig(scale=(1, 5))) == ((10.0, 1.0), *ALL[1:])
    assert rows_of(GOOD.replace("8, 3", "7.5, 3"), JudgeConfig(decimals="accept")) == ((7.5, 3.0), *ALL[1:])


def test_the_scores_are_what_the_criteria_come_to() -> None:
    read = read_criteria(Completion(GOOD), 2, CRITERIA, JudgeConfig())
    assert isinstance(read, Scores)
    assert read.values == (pytest.approx(1 + 9 * (3 * 7 / 9 + 1) / 4), 1.0)  # the second is rude, which takes all
    assert read.analysis == "Analysis: fine."


@given(st.text(st.sampled_from("Scores:\n1234 \\boxed{},yesno*>-<think/"), max_size=400))
def test_it_reads_anything(text: str) -> None:
    read = read_criteria(Completion(text), 2, CRITERIA, JudgeConfig())
    assert isinstance(read, Unparsed) or all(1 <= value <= 10 for value in read.values)


@pytest.mark.timeout(20)
def test_it_is_linear_in_the_text() -> None:
    for part in ("1", "1: ", "Scores:\n", "1 \\boxed{", "*_ ", "Criterion 1 x"):
        read_criteria(Completion("Scores:\n" + part * 100_000), 2, CRITERIA, JudgeConfig())
