"""Docstrings, which are plain Markdown with Google's sections, as MyST Markdown with links."""

from __future__ import annotations

import builtins
import re
from collections.abc import Container, Iterable

import griffe
from sphinx.util.logging import getLogger

from generators.markdown import code, indented
from generators.package import NAME, find, in_scope, is_documented

logger = getLogger(__name__)

WORD = re.compile(r"(?<!`)`(?P<name>[A-Za-z_]\w*(?:\.\w+)*)(?:\(\))?`(?!`)")
"""A name between backticks."""


def in_markdown(owner: griffe.Object) -> str:
    """The docstring; empty where there is none."""
    sections = owner.docstring.parsed if owner.docstring else []
    return "\n\n".join(_section(section, owner) for section in sections)


def summary(owner: griffe.Object) -> str:
    """The first sentence of the docstring."""
    text = " ".join(owner.docstring.value.split("\n\n")[0].split()) if owner.docstring else ""
    return _linked(re.split(r"(?<=\.) (?=[A-Z`])", text)[0], owner)


def about_attribute(attribute: griffe.Attribute) -> str:
    """Its docstring, or what the section "Attributes" of its class says."""
    if attribute.has_docstring or not isinstance(attribute.parent, griffe.Class):
        return in_markdown(attribute)
    return _linked(_attributes(attribute.parent).get(attribute.name, ""), attribute.parent)


def _section(section: griffe.DocstringSection, owner: griffe.Object) -> str:
    """Text as it is, and lists for the rest."""
    match section:
        case griffe.DocstringSectionText():
            return _linked(section.value, owner)
        case griffe.DocstringSectionParameters():
            return _field("Arguments", [_argument(item, owner) for item in section.value])
        case griffe.DocstringSectionRaises():
            return _field(
                "Raises", [f"{_errors(item, owner)}: {_linked(item.description, owner)}" for item in section.value]
            )
        case griffe.DocstringSectionReturns():
            return _field("Returns", [_linked(item.description, owner) for item in section.value])
        case griffe.DocstringSectionAttributes():
            _check((name for item in section.value for name in _names_of(item)), owner, owner.all_members)
            return ""  # it stands at the attributes
        case _:
            _warn(owner, f"sections of kind {section.kind.value} are new here")
            return ""


def _names_of(item: griffe.DocstringNamedElement) -> list[str]:
    """The names before the colon: `low, high: the interval` is about both, which griffe takes for a name and a type."""
    text = f"{item.name} {item.annotation}" if item.name.endswith(",") else item.name
    return re.findall(r"\w+", text)


def _attributes(owner: griffe.Class) -> dict[str, str]:
    """What the section "Attributes" of the class says about each."""
    sections = owner.docstring.parsed if owner.docstring else []
    attributes = (section for section in sections if isinstance(section, griffe.DocstringSectionAttributes))
    return {name: item.description for section in attributes for item in section.value for name in _names_of(item)}


def _argument(item: griffe.DocstringParameter, owner: griffe.Object) -> str:
    names = _names_of(item)
    parameters = owner.parameters if isinstance(owner, griffe.Function | griffe.Class) else ()
    _check(names, owner, [parameter.name.strip("*") for parameter in parameters])
    return f"{', '.join(f'{{code}}`{name}`' for name in names)}: {_linked(item.description, owner)}"


def _check(names: Iterable[str], owner: griffe.Object, existing: Container[str]) -> None:
    for name in names:
        if name not in existing:
            _warn(owner, f"{owner.path} has no {name} to describe")


def _field(name: str, items: list[str]) -> str:
    return f":{name}:\n" + "\n".join(f"    - {indented(item, 6)}" for item in items)


def _errors(item: griffe.DocstringRaise, owner: griffe.Object) -> str:
    """One name or several."""
    return ", ".join(_error(name, owner) for name in re.findall(r"[\w.]+", str(item.annotation)))


def _error(name: str, owner: griffe.Object) -> str:
    """A link. The error need not be imported where something that is called raises it."""
    path = in_scope(name, owner) or find(f"{NAME}.errors.{name}")
    if path:
        return f"{{py:obj}}`{name} <{path}>`" if is_documented(path) else code(name)
    if not (hasattr(builtins, name) or "." in name or name in owner.module.members):
        _warn(owner, f"there is no error {name}")
    return code(name)


def _warn(owner: griffe.Object, message: str) -> None:
    logger.warning(message, location=f"{owner.filepath}:{owner.lineno}")


def _linked(text: str, owner: griffe.Object) -> str:
    """The text with a link for every name in backticks that means something where the docstring stands."""

    def link(found: re.Match[str]) -> str:
        name = found["name"]
        if isinstance(owner, griffe.Function) and name.split(".")[0] in owner.parameters:
            return f"{{code}}`{name}`"  # not a key of the configuration, though it may look like one
        path = in_scope(name, owner)
        return f"{{py:obj}}`{name} <{path}>`" if path and is_documented(path) else found[0]

    return "\n".join(line if line.startswith("    ") else WORD.sub(link, line) for line in text.split("\n"))
