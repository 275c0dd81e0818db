"""The keys of the configuration, from the JSON schema of `Config`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core.core_schema import WithDefaultSchema

from generators.markdown import code, described, directive
from generators.schema import Schema, alternatives, limits_in_words, type_in_words
from grm_plugin.config import Config
from grm_plugin.config.loading import GONE

INTRO = """# Configuration keys

Every key that a YAML file can set, by its dotted path. On the command line a key is set as `--grm.<key> <value>`.
`grm-plugin config` prints the values that a file amounts to.

"""


class _AllDefaults(GenerateJsonSchema):
    """Also names the defaults that a function makes."""

    def get_default_value(self, schema: WithDefaultSchema) -> Any:
        factory: Any = schema.get("default_factory")
        return factory() if factory else super().get_default_value(schema)


def page() -> str:
    """The page, with a heading for every section."""
    schema = Config.model_json_schema(schema_generator=_AllDefaults)
    sections = schema.get("$defs", {})
    gone = [directive("confval", key, {}, f"Gone: {what_to_do}.") for key, what_to_do in GONE.items()]
    earlier = ["## Keys of earlier versions\n", *gone] if gone else []
    return INTRO + "\n".join([*_keys(schema, sections, "", frozenset()), *earlier])


def _keys(section: Schema, sections: Schema, prefix: str, shown: frozenset[str]) -> Iterator[str]:
    """The plain keys of a section, then the sections in it under headings of their own.

    Args:
        section: its schema.
        sections: the schemas of all sections, by name.
        prefix: what stands before its keys.
        shown: keys that another type of the same section has too: Sphinx wants one place to link to.
    """
    keys: dict[str, Schema] = section["properties"]
    below = {name: _sections(schema, sections) for name, schema in keys.items()}
    required = section.get("required", ())
    for name, schema in keys.items():
        if not below[name]:
            yield _key(prefix + name, schema, name in required, prefix + name in shown)
    for name, kinds in below.items():
        if kinds:
            yield f"{_heading(prefix + name)}\n"
            # pydantic leaves out the text of a key that repeats the one of its section.
            about = keys[name].get("description") or kinds[0].get("description")
            yield _key(prefix + name, {**keys[name], "description": about}, name in required, prefix + name in shown)
            yield from _kinds(kinds, sections, prefix + name, shown)


def _kinds(kinds: list[Schema], sections: Schema, key: str, shown: frozenset[str]) -> Iterator[str]:
    """The keys of a section, for each of its types."""
    for kind in kinds:
        if len(kinds) > 1:
            yield f"#{_heading(key)} of type {code(kind['properties']['type']['const'])}\n"
        yield described(kind.get("description"), f"section {key} ({kind['title']})") + "\n"
        yield from _keys(kind, sections, f"{key}.", shown)
        shown |= {f"{key}.{name}" for name in kind["properties"]}


def _heading(key: str) -> str:
    return f"{'#' * (2 + key.count('.'))} {code(key)}"


def _key(key: str, schema: Schema, required: bool, shown: bool) -> str:
    is_section = "section" in (kind := type_in_words(schema, lambda _: "section"))
    limits = limits_in_words(schema)
    facts = f"Type: {kind}{f', {limits}' if limits else ''}."
    if required:
        facts += " It must be set."
    elif not (is_section and schema["default"]):  # else what its keys have as defaults
        facts += f" Default: {code(json.dumps(schema['default']))}."
    about = described(schema.get("description"), f"key {key}")
    # A section stands in the table of contents by its heading.
    return directive("confval", key, {"no-index": shown, "no-contents-entry": is_section}, f"{about}\n\n{facts}")


def _sections(schema: Schema, sections: Schema) -> list[Schema]:
    """The sections that may stand at a key."""
    parts = alternatives(schema) or [schema]
    return [sections[part["$ref"].rsplit("/", 1)[-1]] for part in parts if "$ref" in part]
