"""Reads a YAML file and overrides of single keys into a `Config`; its errors name the key and what to do.

    config = load_config("mine.yaml", {"sampling.k": "16"})
    config = load_config("preset:dry_run")                     # one that ships, see `grm_plugin.config.shipped`

Paths in a file are relative to that file; paths in overrides that start with `./`, `../` or `~/` are relative to the
current directory. `grm_plugin.config.overrides` says how an override is read.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from grm_plugin._util.text_files import read_text
from grm_plugin.config import Config
from grm_plugin.config.engines import ENGINE_TYPES
from grm_plugin.config.overrides import PREFIX, override_value, sections_of
from grm_plugin.config.shipped import PRESET, base_of_preset, is_preset, preset_file, shipped_configs
from grm_plugin.config.yaml_text import RepeatedKeys, parse_yaml
from grm_plugin.errors import ConfigError

GONE = {
    "normalize.momentum": "method running now weighs all its samples equally; remove the key",
    "engine.faults": "tests inject faults from outside; remove the key",
    "meta_rm.faults": "tests inject faults from outside; remove the key",
}
"""Keys that earlier versions had, and what to do about each."""

_SHAPES = {"tuple_type": "a list, as in [a, b]", "dict_type": "a mapping, as in {name: value}"}
"""What pydantic calls by the names of Python's types."""


def load_config(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Config:
    """Load a YAML file, a `preset:NAME` or a mapping, and replace what `overrides` (`{"sampling.k": "16"}`) names.

    Raises:
        ConfigError: the file is missing or no YAML, a key stands twice in it, or a key or value is wrong; the message
            names it and the fix. Or no preset of this name ships.
    """
    if isinstance(source, Mapping):
        data, base, name = copy.deepcopy(dict(source)), Path.cwd(), "config"
    elif is_preset(source):
        data, base, name = _read(preset_file(source)), base_of_preset(source), str(source)
    else:
        path = Path(source).expanduser()
        data, base, name = _read(path), path.resolve().parent, str(path)
    typed = {key: override_value(key, value) for key, value in (overrides or {}).items()}
    for key, value in typed.items():
        _set(data, key, value)
    try:
        # A model that was typed is looked for in the current directory first, see `ModelPath`.
        return Config.model_validate(data, context={"base": base, "typed": list(typed.values())})
    except ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(_explain(item) for item in error.errors())) from None


def split_overrides(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split `--grm.key value` and `--grm.key=value` from other arguments.

    Returns the overrides by dotted key (without the prefix) and the remaining arguments in order. Of a key that is
    given twice the last value counts, so that a script's flag can be overridden by one that is added to its end.

    Raises:
        ConfigError: a `--grm.` flag has no value.
    """
    overrides: dict[str, str] = {}
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if not item.startswith(PREFIX):
            rest.append(item)
            continue
        key, separator, value = item.removeprefix(PREFIX).partition("=")
        if not separator:
            value = next(items, "--")
            if value.startswith("--"):
                raise ConfigError(f"{item} needs a value: {item} VALUE (or {item}=VALUE)")
        overrides[key] = value
    return overrides, rest


def _read(path: Path) -> dict[str, Any]:
    try:
        data = parse_yaml(read_text(path))
    except FileNotFoundError:
        raise ConfigError(f"no config file at {path}; pass an existing YAML file, or {_preset_for(path)}") from None
    except RepeatedKeys as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path} must hold a mapping of sections (engine:, sampling:, ...), not {type(data).__name__}"
        )
    return data


def _preset_for(path: Path) -> str:
    """What to give in the place of a file that is not there."""
    names = shipped_configs()
    return f"{PRESET}{path.stem}, which ships" if path.stem in names else f"{PRESET}NAME, one of {', '.join(names)}"


def _set(data: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    here = data
    for depth, key in enumerate(parents):
        below = here.get(key)
        if below is None:
            below = here[key] = {}
        if not isinstance(below, dict):
            raise ConfigError(f"{PREFIX}{dotted}: {'.'.join(parents[: depth + 1])} is a value, not a section")
        here = below
    here[last] = value


def _explain(item: Any) -> str:
    """One sentence for one pydantic error: the dotted key, what is wrong, and the nearest known key."""
    # Discriminated unions put the tag ("vllm") into the location: it is no key of the file.
    location = [str(part) for part in item["loc"] if part not in (*ENGINE_TYPES, "[key]")]
    key = ".".join(location)
    if key in GONE:
        return f"{key} is gone: {GONE[key]}"
    if item["type"] == "invalid_key" or item["loc"][-1:] == ("[key]",):
        return (
            f"{key}: a key must be a text, and YAML takes this one for something else: remove it, or put it in quotes"
        )
    if item["type"] == "extra_forbidden":
        known = sorted(_keys(Config))
        if key in known:  # a key of another engine type
            return f"{key} is no key of type {item['loc'][1]}; remove it or change {location[0]}.type"
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        ends_alike = [k for k in known if k.rsplit(".", 1)[-1] == location[-1]]
        near = near or sorted(ends_alike, key=lambda k: k.count("."))[:1]
        return f"unknown key {key}" + (f"; did you mean {near[0]}?" if near else f"; known keys: {', '.join(known)}")
    if item["type"] == "missing":
        return f"{key} is missing; set it"
    if item["type"] == "union_tag_invalid":
        *others, last = item["ctx"]["expected_tags"].replace("'", "").split(", ")
        return f"{key}.type is {item['ctx']['tag']!r}; use {', '.join(others)} or {last}"
    if item["type"] in ("model_type", "model_attributes_type", "union_tag_not_found"):
        if isinstance(item["input"], dict):
            return f"{key}.type is missing; set it"
        inside = f"type: {item['input']}" if key == "engine" and isinstance(item["input"], str) else "..."
        return f"{key} must be a section (`{key}: {{{inside}}}`), not {item['input']!r}"
    if item["type"] == "value_error":
        message = str(item["msg"]).removeprefix("Value error, ")
        return f"{key}: {message}" if key else message
    if item["type"] in _SHAPES:
        return f"{key} must be {_SHAPES[item['type']]} (got {item['input']!r})"
    hint = "; put a text that YAML takes for something else in quotes" if item["type"] == "string_type" else ""
    return f"{key}: {item['msg']} (got {item['input']!r}){hint}"


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """All dotted keys of a config model, with those of every engine type."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(prefix + name)
        for section in sections_of(field.annotation):
            found |= _keys(section, f"{prefix}{name}.")
    return found
