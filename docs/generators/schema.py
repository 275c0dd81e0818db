"""Says in words what a JSON schema allows. pydantic and FastAPI describe configuration and messages by such schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from generators.markdown import code, logger

Schema = Mapping[str, Any]

LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "matches {}",
}
TYPES = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "mapping",
}
UNDERSTOOD = {
    *LIMITS,
    *("type", "const", "enum", "anyOf", "oneOf", "items", "prefixItems", "additionalProperties", "$ref"),
    *("title", "description", "default", "discriminator", "properties", "required"),
}
"""Any other keyword may be a constraint, which must not be left out without a word."""


def type_in_words(schema: Schema, name: Callable[[str], str]) -> str:
    """What kind of value the schema takes; `name` writes the name of another schema that it refers to."""
    unknown = schema.keys() - UNDERSTOOD
    if unknown:
        logger.warning("the reference cannot say what %s in a JSON schema means: %s", sorted(unknown), dict(schema))
    if "$ref" in schema:
        return name(schema["$ref"].rsplit("/", 1)[-1])
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return "one of " + ", ".join(code(value) for value in schema["enum"])
    parts = alternatives(schema)
    if parts:
        return " or ".join(dict.fromkeys(type_in_words(part, name) for part in parts))
    if "prefixItems" in schema:
        return "list of " + ", then ".join(_several(type_in_words(part, name)) for part in schema["prefixItems"])
    if schema.get("type") == "array":
        return f"list of {_several(type_in_words(schema.get('items', {}), name))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"mapping of text to {type_in_words(schema['additionalProperties'], name)}"
    return TYPES[schema["type"]] if "type" in schema else "anything"


def limits_in_words(schema: Schema) -> str:
    """The bounds of the value, or of its entries; empty where there are none."""
    return ", ".join(dict.fromkeys(_limits(schema)))


def alternatives(schema: Schema) -> list[Schema]:
    """The schemas of which one must hold; none where there is no choice."""
    parts: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    return [choice for part in parts for choice in alternatives(part) or [part]]


def _limits(schema: Schema) -> Iterator[str]:
    for keyword, words in LIMITS.items():
        if keyword in schema:
            yield words.format(_bound(schema[keyword]))
    for part in alternatives(schema):
        yield from _limits(part)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), Mapping):
            yield from (f"each {limit.removeprefix('each ')}" for limit in _limits(schema[keyword]))


def _bound(value: float | str) -> str:
    if isinstance(value, str):
        return code(value)
    return f"{int(value):,}" if abs(value) < 1e18 and value == int(value) else str(value)


def _several(words: str) -> str:
    return f"({words})" if " or " in words else words
