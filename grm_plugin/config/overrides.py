"""What the value of an override (`--grm.key VALUE`, GRM_OVERRIDES) means: a text where its key is one, else YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from grm_plugin.config import Config
from grm_plugin.config.yaml_text import RepeatedKeys, parse_yaml
from grm_plugin.errors import ConfigError

PREFIX = "--grm."
"""Begins the command-line flags that set a key of the configuration."""

NULLS = ("null", "Null", "NULL", "~", "")
"""What stands for no value, as in YAML, where a key may be null."""


def override_value(key: str, value: Any) -> Any:
    """The value that an override gives to the dotted `key`.

    A text stays as it is typed where the key holds a text, whatever YAML would make of it (`::`, `123`, `no`); quotes
    around the whole of it are taken off, as YAML does, and null leaves out what may be left out. Other keys are read as
    YAML. What is no text already, as in JSON, is taken as it is. A path that begins with `./`, `../` or `~/` is
    relative to the current directory.

    Raises:
        ConfigError: the value is no YAML, or empty where the key needs a text.
    """
    if not isinstance(value, str):
        return value
    kinds = [kind for annotation in _annotations(Config, key.split(".")) for kind in _kinds(annotation)]
    if kinds and all(kind is NoneType or _is_text(kind) for kind in kinds):
        text = _text(key, value.strip(), NoneType in kinds)
    else:
        text = _yaml(key, value)
    if isinstance(text, str) and re.match(r"(\.{1,2}|~)(/|$)", text):
        return str(Path(text).expanduser().resolve())
    return text


def sections_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a key may hold, by its annotation and in its order; none for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in getattr(annotation, "__args__", ()) for section in sections_of(part)]


def _text(key: str, value: str, may_be_null: bool) -> str | None:
    if may_be_null and value in NULLS:
        return None
    if value[:1] == value[-1:] and value[:1] in ("'", '"'):
        with suppress(ValueError):  # it may begin and end with a quote and not be quoted
            unquoted = parse_yaml(value)
            value = unquoted if isinstance(unquoted, str) else value
    if not value:
        raise ConfigError(f"{PREFIX}{key} is empty: give a value, or leave it out")
    return value


def _yaml(key: str, value: str) -> Any:
    try:
        return parse_yaml(value)
    except RepeatedKeys as error:
        raise ConfigError(f"{PREFIX}{key}: {error}") from None
    except ValueError:
        raise ConfigError(f"{PREFIX}{key}: {value!r} is no YAML value; quote it") from None


def _annotations(section: type[BaseModel], path: Sequence[str]) -> Iterator[Any]:
    """The annotations of the key at `path`: several where sections of other types have a key of that name."""
    field = section.model_fields.get(path[0])
    if field is None:
        return
    if len(path) == 1:
        yield field.annotation
    for below in sections_of(field.annotation) if len(path) > 1 else ():
        yield from _annotations(below, path[1:])


def _kinds(annotation: Any) -> Iterator[Any]:
    """The parts of a union; an annotation that is none by itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation


def _is_text(kind: Any) -> bool:
    return kind is str or (get_origin(kind) is Literal and all(isinstance(each, str) for each in get_args(kind)))
