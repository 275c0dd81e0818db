"""Writes a configuration as YAML with a comment above every key that says what the key does."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from grm_plugin.config import Config
from grm_plugin.config.overrides import sections_of

WIDTH = 100
ONE_LINE = 10**6
REQUIRED = "..."
"""Shown as the value of a key that has no default, below a section that is null."""


def explained(config: Config) -> str:
    """YAML that loads as the same configuration. Below a section that is null, its keys and defaults are comments."""
    return "\n".join(_lines(type(config), config)).lstrip("\n") + "\n"


def _lines(kind: type[BaseModel], section: BaseModel | None) -> Iterator[str]:
    values = section.model_dump(mode="json") if section else {}
    for name, field in kind.model_fields.items():
        kinds = sections_of(field.annotation)
        if kinds:
            yield ""
        yield from textwrap.wrap(
            field.description or "", WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        below = getattr(section, name, None)
        if isinstance(below, BaseModel):
            yield f"{name}:"
            yield from (f"  {line}".rstrip() for line in _lines(type(below), below))
            continue
        default = REQUIRED if field.is_required() else field.get_default(call_default_factory=True)
        value = values.get(name, default)
        if isinstance(value, list):  # on one line, so that every line stands below its comment
            yield f"{name}: {yaml.safe_dump(value, default_flow_style=True, width=ONE_LINE).strip()}"
        else:
            yield from yaml.safe_dump({name: value}, sort_keys=False, width=ONE_LINE).splitlines()
        if kinds:
            yield from (f"#   {line}" for line in _lines(kinds[0], None))
