"""Makes a text mean itself in one cell of a table, in Markdown and in LaTeX."""

from __future__ import annotations

import re

from grm_plugin._util.text import one_line

_MARKDOWN_SIGNS = re.compile(r"([\\`*_\[\]<>|&#~$])")
"""What means something within a line of CommonMark or of GitHub's Markdown (strokes, formulas, cells of tables)."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "$": r"\$",
        "&": r"\&",
        "#": r"\#",
        "%": r"\%",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\symbol{34}",  # in some languages a bare one changes the letter after it
        "[": "{[}",  # at the start of a row, `\\ [` would be taken as a distance
        "]": "{]}",
        "*": "{*}",  # likewise `\\ *`
    }
)


def markdown_cell(text: str) -> str:
    """The text as a cell of a GitHub table: on one line, with no sign that would mean something."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", one_line(text))


def latex_cell(text: str) -> str:
    """The text as a cell of a LaTeX table. Letters of other scripts stay as they are: today's LaTeX reads UTF-8."""
    return one_line(text).translate(_LATEX)
