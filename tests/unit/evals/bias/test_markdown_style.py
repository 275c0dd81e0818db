"""Markdown is counted as it is rendered."""

from __future__ import annotations

import pytest

from grm_plugin.evals.bias.markdown_style import MOST_CHARACTERS, markdown_counts

NONE = {"headings": 0, "list entries": 0, "bold": 0, "code blocks": 0, "tables": 0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Plain *slanted* text with 2 * 3 and #1.", {}),
        ("# One\n\nTwo\n---\n", {"headings": 2}),
        ("- a\n- b\n  1. c\n", {"list entries": 3}),
        ("**a** and __b__ and \\*\\*c\\*\\*", {"bold": 2}),
        ("```python\n# no heading\n- no **entry**\n```\n\n    indented", {"code blocks": 2}),
        ("```\nnever closed\n# no heading", {"code blocks": 1}),
        ("|a|b|\n|-|-|\n|**1**|2|\n", {"tables": 1, "bold": 1}),
        ("> - quoted **entry**", {"list entries": 1, "bold": 1}),
        ("", {}),
    ],
)
def test_counts(text: str, expected: dict[str, int]) -> None:
    assert markdown_counts(text) == NONE | expected


def test_of_a_very_long_text_the_rest_is_passed_over() -> None:
    assert markdown_counts("a" * MOST_CHARACTERS + "\n\n# late") == NONE
    assert markdown_counts("# early\n\n" + "a" * MOST_CHARACTERS)["headings"] == 1
