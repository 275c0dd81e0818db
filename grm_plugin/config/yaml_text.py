"""Reads YAML and loses nothing: a key that stands twice is an error, where PyYAML takes the last value in silence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import yaml


class RepeatedKeys(ValueError):
    """Keys stand twice in one mapping."""


def parse_yaml(text: str) -> Any:
    """The value of one YAML document; anchors, aliases and merges (`<<`) are read as always.

    Raises:
        RepeatedKeys: a mapping has a key twice; the message names each such key, dotted, and its lines.
        ValueError: it is no YAML, or nested too deeply; the message is one line.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        document = loader.get_single_node()
        if document is None:
            return None
        if repeated := list(_repeated_keys(document)):  # now: constructing turns a merge into its keys
            raise RepeatedKeys("; ".join(repeated))
        return loader.construct_document(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(_in_one_line(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def _in_one_line(error: yaml.YAMLError) -> str:
    """What PyYAML says in up to six lines, with the place first."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    context = getattr(error, "context", None)
    found = f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', '')}"
    return f"{found} ({context})" if context else found


def _repeated_keys(document: yaml.Node) -> Iterator[str]:
    """What to say about each key that stands more than once in its mapping."""
    todo: deque[tuple[yaml.Node, str]] = deque([(document, "")])
    seen: set[int] = set()
    while todo:
        node, name = todo.popleft()
        if id(node) in seen:  # behind an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, f"{name}.{index}") for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], list[int]] = {}
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    lines.setdefault((key.tag, key.value), []).append(key.start_mark.line + 1)
                    todo.append((value, f"{name}.{key.value}"))
            for (_, key_text), found in lines.items():
                if len(found) > 1:
                    yield f"{name}.{key_text}".lstrip(".") + f" stands {_places(found)}: keep one"


def _places(lines: list[int]) -> str:
    times = "twice" if len(lines) == 2 else f"{len(lines)} times"
    different = sorted(set(lines))
    if len(different) == 1:
        return f"{times} on line {different[0]}"
    return f"{times}, on lines {', '.join(map(str, different[:-1]))} and {different[-1]}"
