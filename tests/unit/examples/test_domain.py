from __future__ import annotations

import pytest

from examples.nano.domain import ASPECTS, Task, all_tasks, is_held_out, levels, parse_prompt, read, true_quality

TASK = Task("Name", 3, "fruits", "plus signs", None)

# Levels in the order Accuracy, Length, Variety, Format, Courtesy, worked out by hand.
CASES = [
    ("plum + fig + pear. Enjoy!", (3, 3, 3, 3, 3)),
    ("plum + fig + plum. Enjoy!", (3, 3, 2, 3, 3)),
    ("plum + plum + plum. Done.", (3, 3, 1, 3, 2)),
    ("plum + plum + plum + plum.", (3, 2, 0, 3, 1)),
    ("plum, fig + pear. Go away.", (3, 3, 3, 2, 0)),
    ("plum, fig, pear + kiwi. That is all.", (3, 2, 3, 1, 2)),
    ("plum - fig - pear", (3, 3, 3, 0, 1)),
    ("plum + fig + cat. Enjoy!", (2, 3, 3, 3, 3)),
    ("plum + cat + dog. Enjoy!", (1, 3, 3, 3, 3)),
    ("plum + cat + dog + fox. Enjoy!", (0, 2, 3, 3, 3)),
    ("plum. Enjoy!", (3, 1, 3, 0, 3)),
    ("plum + fig + pear + kiwi + lemon + grape. Enjoy!", (3, 0, 3, 3, 3)),
    ("plum + fig + pear. Enjoy this helps!", (3, 3, 3, 3, 0)),
    ("plum + fig + pear. Enjoy! Enjoy!", (3, 3, 3, 3, 0)),
    ("plum + fig + pear Enjoy!", (2, 3, 3, 3, 1)),
    ("plum+fig+pear. Enjoy!", (3, 3, 3, 3, 3)),
    ("plum + + fig + pear. Enjoy!", (3, 3, 3, 3, 3)),
    ("plum fig pear. Enjoy!", (0, 1, 3, 0, 3)),
    ("Plum + fig + pear. Enjoy!", (2, 3, 3, 3, 3)),
    ("", (0, 0, 0, 0, 0)),
    (" . Enjoy!", (0, 0, 0, 0, 0)),
    ("+ + +", (0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("response", "expected"), CASES)
def test_levels_by_hand(response: str, expected: tuple[int, ...]) -> None:
    assert tuple(levels(TASK, response)[aspect] for aspect in ASPECTS) == expected


def test_quality_is_the_weighted_mean() -> None:
    assert true_quality("Name 3 fruits, use plus signs.", "plum + fig + plum. Done.") == pytest.approx(
        (3 + 3 + 2 + 3 + 2) / 15
    )
    emphasised = true_quality("Name 3 fruits, use plus signs. Courtesy matters most.", "plum + fig + pear. Go away.")
    assert emphasised == pytest.approx(0.5)
    assert true_quality(TASK.prompt, "plum + fig + pear. Enjoy!") == pytest.approx(1.0)


def test_pieces_carry_their_place() -> None:
    response = "  plum +fig. Done."
    reading = read(response)
    assert [(p.text, response[p.start : p.end]) for p in reading.items] == [("plum", "plum"), ("fig", "fig")]
    assert [response[p.start : p.end] for p in reading.separators] == ["+"]
    assert reading.closing == "Done."


def test_every_prompt_reads_back_and_the_split_is_one_in_ten() -> None:
    tasks = list(all_tasks())
    assert len({task.prompt for task in tasks}) == 3072
    assert all(parse_prompt(task.prompt) == task for task in tasks)
    assert sum(is_held_out(task.prompt) for task in tasks) == 301


def test_foreign_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="not a list-writing prompt"):
        true_quality("Name 3 planets, use commas.", "mars")
