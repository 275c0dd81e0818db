"""The environment variables, from the docstring of the module that reads them."""

from __future__ import annotations

import inspect
import re

from generators.markdown import directive
from grm_plugin.integrations import environment_variables

VARIABLE = re.compile(r"^    (?P<name>[A-Z][A-Z_]+) +(?P<text>.*(?:\n {6,}.*)*)", re.MULTILINE)
"""A name, indented, and its text; further lines of the text are indented more."""


def variables() -> dict[str, str]:
    """What each variable means."""
    found = VARIABLE.finditer(_docstring())
    return {match["name"]: " ".join(match["text"].split()) for match in found}


def page() -> str:
    """The page."""
    intro = VARIABLE.split(_docstring(), maxsplit=1)[0].strip()
    return f"# Environment variables\n\n{intro}\n\n" + "\n".join(
        directive("envvar", name, {}, text) for name, text in variables().items()
    )


def _docstring() -> str:
    return inspect.getdoc(environment_variables) or ""
