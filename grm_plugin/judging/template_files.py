"""Prompt templates: text files (Jinja2), of the user or shipped with the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import jinja2

from grm_plugin._util.text_files import read_text
from grm_plugin.config.fields import SHIPPED
from grm_plugin.errors import PromptError

ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # plain text for a model, never HTML
    trim_blocks=True,
    lstrip_blocks=True,
)
"""In which every template of a prompt is read."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template, with its source and the name by which messages call it. Pickles as its source."""

    name: str
    source: str
    compiled: jinja2.Template

    def __reduce__(self) -> tuple[Callable[[str, str], TemplateFile], tuple[str, str]]:
        return _compiled, (self.name, self.source)


def load_template(name: str) -> TemplateFile:
    """Load a file by its path, or a shipped template by its `builtin:` name.

    Raises:
        PromptError: it cannot be read, or is no template.
    """
    try:
        if name.startswith(SHIPPED):
            file = resources.files("grm_plugin.judging").joinpath("templates", f"{name.removeprefix(SHIPPED)}.txt")
            source = file.read_text(encoding="utf-8")
        else:
            source = read_text(Path(name))
    except (OSError, ValueError) as error:
        raise PromptError(f"template {name} cannot be read: {error}") from None
    return _compiled(name, source)


@lru_cache(maxsize=64)
def _compiled(name: str, source: str) -> TemplateFile:
    try:
        compiled = ENVIRONMENT.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"template {name}, line {error.lineno}: {error.message}") from None
    # A chain of dicts, which jinja copies for every prompt: one dict is copied ten times as fast.
    compiled.globals = dict(compiled.globals)
    return TemplateFile(name, source, compiled)
