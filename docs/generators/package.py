"""The package as griffe reads it. Nothing is imported: torch, vLLM, Ray and the frameworks need not be installed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import griffe
from sphinx.util.logging import getLogger

ROOT = Path(__file__).parents[2]
NAME = "grm_plugin"


@cache
def package() -> griffe.Module:
    """The whole package. What griffe finds wrong with a docstring is a warning of the build."""
    griffe.patch_loggers(getLogger)
    loaded = griffe.load(
        NAME,
        search_paths=[ROOT],
        docstring_parser="google",
        # It does not know that a line may be about several names: `generators.docstrings` looks whether they exist.
        docstring_options={"warn_unknown_params": False, "warn_missing_types": False},
        allow_inspection=False,
    )
    assert isinstance(loaded, griffe.Module)
    return loaded


def folders(folder: griffe.Module) -> Iterator[griffe.Module]:
    """The folder and all public ones below it."""
    yield folder
    for below in submodules(folder):
        if below.is_init_module:
            yield from folders(below)


def submodules(folder: griffe.Module) -> list[griffe.Module]:
    """The public modules in a folder, by name. What starts with an underscore is for this package alone."""
    inner = (below for name, below in sorted(folder.modules.items()) if not name.startswith("_"))
    return [below for below in inner if isinstance(below, griffe.Module)]


def members(owner: griffe.Object) -> list[griffe.Object]:
    """What a module or class defines for others, in the order of its source."""
    return [
        member
        for member in owner.members.values()
        if isinstance(member, griffe.Object) and not member.is_module and _is_public(member) and not _is_logger(member)
    ]


def imported_names(module: griffe.Module) -> list[str]:
    """Where the names in `__all__` are defined that come from elsewhere."""
    paths = (find(f"{module.path}.{name}") for name in sorted(str(name) for name in module.exports or ()))
    return [path for path in paths if path and path.rpartition(".")[0] != module.path]


def find(path: str) -> str | None:
    """Where the thing with this path is defined; None if there is none, for example outside the package."""
    found = _get(path)
    return found.path if found else None


def is_documented(path: str) -> bool:
    """Whether there is such a thing, and a page tells of it."""
    found = _get(path)
    if found is None:
        return False
    return found.parent is None or (_is_public(found) and is_documented(found.parent.path))


def in_scope(name: str, owner: griffe.Object) -> str | None:
    """Where the thing is defined that `name` (with dots or without) means in the docstring of `owner`, if anything."""
    first, *rest = name.split(".")
    scope: griffe.Object | griffe.Alias | None = owner
    while scope is not None:
        if first in scope.members:
            return find(".".join([scope.path, first, *rest]))
        scope = None if scope.is_module else scope.parent
    return None


def _get(path: str) -> griffe.Object | None:
    try:
        found = package().modules_collection[path]
        return found.final_target if isinstance(found, griffe.Alias) else found
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None


def _is_public(member: griffe.Object) -> bool:
    name = member.name
    special = name.startswith("__") and name.endswith("__")
    return (special and name != "__init__" and member.has_docstring) or not name.startswith("_")


def _is_logger(member: griffe.Object) -> bool:
    return isinstance(member, griffe.Attribute) and str(member.value).startswith("logging.getLogger")
