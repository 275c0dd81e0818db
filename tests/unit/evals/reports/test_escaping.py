"""A text stays what it is in a cell of a table, in Markdown as a parser reads it, and in LaTeX sign by sign."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from grm_plugin.evals.reports.escaping import latex_cell, markdown_cell

SIGNS = st.text(st.characters(codec="utf-8"), max_size=30) | st.text("\\`*_{}[]()<>|&#~$!+-.%^@a1 \n\"'", max_size=30)

LATEX_SIGNS = set('\\{}$&#%_^~<>|"[]*')
MEANINGS = {
    r"\textbackslash{}": "\\",
    r"\textasciicircum{}": "^",
    r"\textasciitilde{}": "~",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\symbol{34}": '"',
    "{[}": "[",
    "{]}": "]",
    "{*}": "*",
    **{f"\\{sign}": sign for sign in "{}$&#%_"},
}


def on_one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


@given(SIGNS)
def test_a_markdown_table_shows_the_text(text: str) -> None:
    table = f"| a | b |\n| --- | --- |\n| x{markdown_cell(text)}x | end |\n"
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(table)
    cells = [token.children or [] for token in tokens if token.type == "inline"]
    assert [{child.type for child in cell} - {"text", "text_special"} for cell in cells] == [set()] * 4
    shown = "".join(child.content for child in cells[2])
    assert shown == f"x{on_one_line(text)}x"


@given(SIGNS)
def test_latex_has_no_sign_that_means_something(text: str) -> None:
    cell = latex_cell(text)
    pattern = "|".join(map(re.escape, sorted(MEANINGS, key=len, reverse=True)))
    assert not set(re.sub(pattern, "", cell)) & LATEX_SIGNS
    read = re.sub(pattern, lambda found: MEANINGS[found[0]], cell)
    assert read == on_one_line(text)


@pytest.mark.parametrize(
    ("text", "markdown", "latex"),
    [
        ("org/GRM_27B-v1.5", r"org/GRM\_27B-v1.5", r"org/GRM\_27B-v1.5"),
        ("50 % & #1", r"50 % \& \#1", r"50 \% \& \#1"),
        ("a|b\nc", r"a\|b c", r"a\textbar{}b c"),
        ("meta@8/1", "meta@8/1", "meta@8/1"),
        ("模型", "模型", "模型"),
    ],
)
def test_names(text: str, markdown: str, latex: str) -> None:
    assert (markdown_cell(text), latex_cell(text)) == (markdown, latex)
