"""The Python API: a page for every folder of public modules, from their source."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Iterable

import griffe

from generators.docstrings import about_attribute, in_markdown, summary
from generators.markdown import code, directive
from generators.package import NAME, find, folders, imported_names, is_documented, members, package, submodules

LONGEST_VALUE = 100
"""Characters of a constant's value; a longer one is better read in the source."""


def pages() -> dict[str, str]:
    """File names and pages."""
    return {_file(folder): _page(folder) for folder in folders(package())}


def _file(folder: griffe.Module) -> str:
    return "/".join([*folder.path.split(".")[1:], "index.md"])


def _page(folder: griffe.Module) -> str:
    """The page of a folder, with its modules below each other."""
    below = submodules(folder)
    inner = [f"{module.name} <{module.name}/index>" for module in below if module.is_init_module]
    imported = imported_names(folder)
    blocks = [
        f"# {folder.path}" if folder.parent else "# Python API",
        *_contents(folder),
        "\n".join(f"- {{py:mod}}`{module.name} <{module.path}>`: {summary(module)}" for module in below),
        "\n".join(["```{toctree}", ":hidden:", "", *inner, "```"]) if inner else "",
        "\n".join([f"From {code(folder.path)} one can import:", "", *map(_imported, imported)]) if imported else "",
    ]
    for module in below:
        if not module.is_init_module:
            blocks += [f"## {module.path}", *_contents(module)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _contents(module: griffe.Module) -> list[str]:
    return [
        f"```{{py:module}} {module.path}\n```",
        in_markdown(module),
        *(_described(member) for member in members(module)),
    ]


def _imported(path: str) -> str:
    home, _, name = path.rpartition(".")
    return f"- {{py:obj}}`{name} <{path}>`, of {code(home)}"


def _described(member: griffe.Object) -> str:
    """The directive of a member, with what is inside it."""
    if isinstance(member, griffe.Attribute):
        return directive(*_attribute(member), about_attribute(member))
    body = in_markdown(member)
    if isinstance(member, griffe.Class):
        # Of a generic base only the class itself is a page: what stands in its brackets is not.
        bases = ", ".join(f"{{py:obj}}`~{typed(base).partition('[')[0]}`" for base in member.bases)
        inner = [_described(below) for below in members(member)]
        parts = [f"Bases: {bases}" if bases else "", body, *inner]
        signature = _signature(list(member.parameters)[1:]) if len(member.parameters) > 1 else ""  # without self
        return directive("py:class", member.name + signature, {}, "\n\n".join(part for part in parts if part))
    assert isinstance(member, griffe.Function)
    return directive(*_function(member), body)


def _function(function: griffe.Function) -> tuple[str, str, dict[str, str | bool]]:
    in_class = isinstance(function.parent, griffe.Class)
    labels = function.labels
    parameters = list(function.parameters)[1:] if in_class and "staticmethod" not in labels else function.parameters
    kinds = ("async", "classmethod", "staticmethod") if in_class else ("async",)
    signature = function.name + _signature(parameters, function.returns)
    return "py:method" if in_class else "py:function", signature, {kind: kind in labels for kind in kinds}


def _attribute(attribute: griffe.Attribute) -> tuple[str, str, dict[str, str | bool]]:
    in_class = isinstance(attribute.parent, griffe.Class)
    options: dict[str, str | bool] = {
        "type": typed(attribute.annotation) if attribute.annotation else "",
        "no-contents-entry": in_class,  # the table of contents is long without them
    }
    if "property" in attribute.labels:
        return "py:property", attribute.name, options
    value = " ".join(str(attribute.value).split())
    is_constant = not in_class or "class-attribute" in attribute.labels  # else it is set in the constructor
    if attribute.value is not None and is_constant and len(value) <= LONGEST_VALUE:
        options["value"] = value
    return "py:attribute" if in_class else "py:data", attribute.name, options


class _Source:
    """Python source where `inspect` has a value."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _signature(parameters: Iterable[griffe.Parameter], returns: str | griffe.Expr | None = None) -> str:
    """As in a `def`, with the full paths of types, by which Sphinx links them."""
    absent = inspect.Signature.empty
    stars = (griffe.ParameterKind.var_positional, griffe.ParameterKind.var_keyword)  # griffe gives them a default
    rebuilt = [
        inspect.Parameter(
            parameter.name,
            getattr(inspect.Parameter, parameter.kind.name.upper()),
            default=absent if parameter.default is None or parameter.kind in stars else _Source(str(parameter.default)),
            annotation=_Source(typed(parameter.annotation)) if parameter.annotation else absent,
        )
        for parameter in parameters
        if parameter.kind is not None
    ]
    return str(inspect.Signature(rebuilt, return_annotation=_Source(typed(returns)) if returns else absent))


def typed(expression: str | griffe.Expr) -> str:
    """A type as it is written, but with the full path of every name, and without what `Annotated` adds."""
    if isinstance(expression, griffe.ExprName | griffe.ExprAttribute):
        return _path(expression.canonical_path)
    if isinstance(expression, griffe.ExprSubscript) and expression.canonical_path == "typing.Annotated":
        inner = expression.slice
        return typed(inner.elements[0] if isinstance(inner, griffe.ExprTuple) else inner)
    if isinstance(expression, griffe.Expr):
        return "".join(typed(part) for part in expression.iterate(flat=False))
    return expression


def _path(path: str) -> str:
    """The path that Sphinx shall look for. It shows the last name, also where there is nothing to link to."""
    found = find(path)
    if found:
        return found if is_documented(found) else found.removeprefix(f"{NAME}.")
    return f"builtins.{path}" if hasattr(builtins, path) else path  # else `type` is linked to some field of that name
