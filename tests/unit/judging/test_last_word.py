"""A verdict that its judge takes back below is no vote, in whatever form; other words and numbers change nothing."""

from __future__ import annotations

import pytest

from grm_plugin.judging.answers import read
from grm_plugin.judging.last_word import MOST_BELOW
from grm_plugin.types import Completion, Scores, Unparsed, UnparsedReason
from support.factories import make_config

VERDICTS = {
    "boxed": r"Scores: \boxed{2, 9}",
    "brackets": "Scores: [2, 9]",
    "json": '{"scores": [2, 9]}',
    "score": "Response 1: 2/10\nResponse 2: 9/10",
}
SCORES_BELOW = [
    *(
        r"\boxed{(8, 3)}",
        r"\boxed{8; 3}",
        r"\boxed{8 3}",
        r"\boxed{8/10, 3/10}",
        r"\boxed{\text{8, 3}}",
        r"\fbox{8, 3}",
    ),
    *(r"\boxed{8,\ 3}", r"\boxed{R1: 8, R2: 3}", "\\boxed{8}\n\\boxed{3}", r"$\boxed{8 \text{ and } 3}$"),
    "Response 1: \\boxed{8}\nResponse 2: \\boxed{3}",
    "Final score of Response 1: \\boxed{8}\nFinal score of Response 2: \\boxed{3}",
    *("8, 3", "**8, 3**", "8/10 and 3/10", "Actual scores: 8, 3", "So: 8 vs 3", "Actually 8 and 3.", "最终：8，3"),
    *("<scores>8, 3</scores>", "<answer>8, 3</answer>", "| Scores | 8 | 3 |", "Endgültige Bewertung: 8, 3"),
    "After reconsideration the scores are 8 and 3.",
    "So Response 1 gets 8 and Response 2 gets 3.",
    "Response 1 deserves 8/10, Response 2 deserves 3/10.",
    "| Response 1 | 8 |\n| Response 2 | 3 |",
    "My judgment: 8 for Response 1, 3 for Response 2.",
    '{"response_1": 8, "response_2": 3}',
    '```json\n{"a": {"score": 8}, "b": 3}\n{"first": 8, "second": 3}\n```',
]
TAKEN_BACK = [
    "Wait, I mixed them up.",
    "Hmm, Response 1 is better after all.",
    "One more look. Oops, that was a mistake.",
    "It is the other way round.",
    "These two should be swapped.",
    "Swap these scores.",
    "Note: the above scores are in reverse order.",
    "The first score is for Response 2 and the second for Response 1.",
    "Let me revise these scores.",
    "Response 1 is better.",
    "Ranking: Response 1 > Response 2",
    "我把两个回答弄反了。",
]
CHANGES_NOTHING = [
    r"The best one is \boxed{2}.",
    "> Final scores: 8, 3",
    'It claimed "final scores: 8, 3".',
    "Response 2 ends with:\nFinal scores: \\boxed{8, 3}",
    "The scores reflect 2 strengths and 5 flaws.",
    "Response 1 meets criteria 2 and 3.",
    "The right answer is (4, 5).",
    "Response 1 has 2 errors, Response 2 has 4.",
    "Weights: 60%, 40%",
    "In step 2, Response 2 made 3 mistakes.",
    "The order was not swapped.",
    "Its code swaps the pointers and reverses the list, and one has to wait.",
    "Response 1 is better at rhymes.",
    "Response 2 is better.",
    "Response 1: 2/10\nResponse 2: 9/10",
]


def _read(answer: str, text: str, n: int = 2) -> Scores | Unparsed:
    judge = make_config(judge={"answer": answer, "list_size": n}).judge
    return read(Completion(text), n, judge)


@pytest.mark.parametrize("answer", VERDICTS)
@pytest.mark.parametrize("below", [*SCORES_BELOW, *TAKEN_BACK])
def test_a_verdict_that_is_taken_back_is_no_vote(answer: str, below: str) -> None:
    found = _read(answer, f"{VERDICTS[answer]}\nOnce more.\n{below}")
    # The readers' own forms may be read, as the verdict that stands below.
    assert isinstance(found, Unparsed) or found.values == (8, 3)


@pytest.mark.parametrize("answer", VERDICTS)
@pytest.mark.parametrize("below", CHANGES_NOTHING)
def test_what_changes_nothing(answer: str, below: str) -> None:
    found = _read(answer, f"{VERDICTS[answer]}\nOnce more.\n{below}")
    assert isinstance(found, Scores), found
    assert found.values == (2, 9)


@pytest.mark.parametrize(
    "below",
    [
        *(
            "Actually, I'd say 8/10.",
            "So 8/10.",
            "8/10",
            "**8/10**",
            "(8/10)",
            "→ 8/10",
            "Adjusted to 8.",
            "Make that an 8.",
        ),
        *(
            "[[8]]",
            r"\boxed{8}",
            '{"score": 8}',
            "The score should be 8/10.",
            "Score changed to 8",
            "修改为8分",
            "最终：8分",
        ),
    ],
)
def test_the_score_of_one_response(below: str) -> None:
    assert isinstance(_read("score", f"Score: 5/10\n{below}", 1), Unparsed)


@pytest.mark.parametrize(
    "below", ["It has 3 errors.", "The correct answer is 4", "Accuracy is fine, 2 of 3 steps are right.", "Score: 5/10"]
)
def test_the_score_of_one_response_stays(below: str) -> None:
    assert isinstance(_read("score", f"Score: 5/10\n{below}", 1), Scores)


@pytest.mark.parametrize(
    "below", ["Response B is better.", "My final answer is B.", "Sorry, B.", "Wait, I mixed the two up.", "B wins."]
)
def test_a_winner_that_is_taken_back(below: str) -> None:
    assert isinstance(_read("verdict", f"<answer>[[A]]</answer>\n{below}"), Unparsed)


@pytest.mark.parametrize("below", ["Response A is better.", "B is better in tone.", "B is not better.", "A wins."])
def test_a_winner_that_stays(below: str) -> None:
    assert isinstance(_read("verdict", f"<answer>[[A]]</answer>\n{below}"), Scores)


@pytest.mark.parametrize("answer", VERDICTS)
def test_a_verdict_far_above_the_end(answer: str) -> None:
    assert isinstance(_read(answer, VERDICTS[answer] + "\n" + "a" * MOST_BELOW + "\n"), Scores)
    found = _read(answer, VERDICTS[answer] + "\n" + "a" * (MOST_BELOW + 1))
    assert isinstance(found, Unparsed)
    assert found.reason is UnparsedReason.AMBIGUOUS


@pytest.mark.parametrize("key", ["revised", "revised_scores", "corrected_scores", "final"])
def test_json_that_holds_a_draft_and_a_revision(key: str) -> None:
    assert isinstance(_read("json", f'{{"scores": [2, 9], "{key}": [8, 3]}}'), Unparsed)


@pytest.mark.parametrize("box", ["\\boxed{8}\n\\boxed{3}", "- Response 1: \\boxed{8}\n- **Response 2**: \\boxed{3}"])
def test_one_box_on_a_line_each(box: str) -> None:
    found = _read("boxed", f"Analysis: fine.\nScores:\n{box}")
    assert isinstance(found, Scores)
    assert found.values == (8, 3)


@pytest.mark.parametrize(
    "heading",
    [
        *("The scores are ", "Therefore, the scores are: ", "Based on the analysis above, the final scores are "),
        *(
            "Scores for the responses: ",
            "Scores of both responses:\n",
            "综上所述，最终评分为：",
            "因此，两个回答的得分为",
        ),
        "两个回答的最终得分分别为：",
    ],
)
def test_sentences_that_are_headings(heading: str) -> None:
    found = _read("boxed", f"Analysis: fine.\n{heading}\\boxed{{8, 3}}")
    assert isinstance(found, Scores)
    assert found.values == (8, 3)


@pytest.mark.parametrize("before", ["Therefore, ", "Answer: ", "**Final answer:** ", "My choice is "])
def test_words_before_a_verdict_in_brackets(before: str) -> None:
    found = _read("verdict", f"A has the facts.\n{before}[[A]]")
    assert isinstance(found, Scores)
    assert found.values == (10, 1)
