"""Prompt templates: text files (Jinja2), of the user or shipped with the package."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2

from grm_plugin.config.fields import SHIPPED
from grm_plugin.errors import PromptError

ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # plain text for a model, never HTML
    trim_blocks=True,
    lstrip_blocks=True,
)
"""In which every template of a prompt is read."""

PEEKED_BYTES = 100
"""So many bytes tell UTF-16 from UTF-8: it has a zero in every other one."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A template, with its source and the name by which messages call it."""

    name: str
    source: str
    compiled: jinja2.Template


def load_template(name: str) -> TemplateFile:
    """Load a file by its path, or a shipped template by its `builtin:` name.

    Raises:
        PromptError: it cannot be read, or is no template.
    """
    if name.startswith(SHIPPED):
        file = resources.files("grm_plugin.judging").joinpath("templates", f"{name.removeprefix(SHIPPED)}.txt")
        with resources.as_file(file) as path:
            source = read_template(path)
    else:
        source = read_template(Path(name))
    try:
        return TemplateFile(name, source, ENVIRONMENT.from_string(source))
    except jinja2.TemplateSyntaxError as error:
        raise PromptError(f"template {name}, line {error.lineno}: {error.message}") from None


def read_template(path: Path) -> str:
    """The text of a template, without a byte order mark.

    Raises:
        PromptError: the file cannot be read, or is no UTF-8.
    """
    try:
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:PEEKED_BYTES]:
            raise PromptError(f"template {path} cannot be read: the file is UTF-16; save it as UTF-8")
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"template {path} cannot be read: {error}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
