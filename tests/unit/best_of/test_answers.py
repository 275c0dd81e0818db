r"""Which answer a sample votes for."""

from __future__ import annotations

import pytest

from grm_plugin.best_of.answers import answer_of, normalised


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"First \boxed{7}, no: \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{cut", None),
        ("9 - 2 = 7\n#### 7", "7"),
        ("#### 1,000\nand more", "1000"),
        ("So the answer is: 42.\nBye", "42"),
        ("It is\n  -3.50  \n\n", "-3.5"),
        ("\u200b\n ", None),
        ("", None),
        (r"\boxed{}", None),
        (r"\boxed{\text{East}}", "east"),
        ("lone \ud800", "lone \ufffd"),
    ],
)
def test_the_last_thing_that_is_marked_as_one(text: str, answer: str | None) -> None:
    assert answer_of(text) == answer


@pytest.mark.parametrize("same", ["1000", " 1,000 ", "$1000$", "1000.00", "**1000**", r"\text{1000}", "1000."])
def test_equal_answers_are_equal_texts(same: str) -> None:
    assert normalised(same) == "1000"


def test_a_pattern_of_the_users_takes_the_place_of_all_that() -> None:
    assert answer_of(r"A: 3, A: 4 \boxed{9}", r"A: (\d)") == "4"
    assert answer_of("x=1 x=2", r"x=\d") == "x=2"
    assert answer_of("nothing", r"A: (\d)") is None
    with pytest.raises(ValueError, match="RE2 refuses it"):
        answer_of("x", "(?=x)")


def test_a_flood_is_read_in_linear_time() -> None:
    flood = 200_000
    assert answer_of("\\boxed{" + "{" * flood) is None
    assert answer_of("answer is " * (flood // 10)) is None
    assert answer_of("9" * flood) == "9" * 200
    assert normalised("9" * 40) != normalised("9" * 39 + "8")
