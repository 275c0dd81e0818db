"""The base class of the configuration's sections, and the types of the paths in them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

SHIPPED = "builtin:"
"""Begins the name of a template that ships with the package."""


def shipped_templates() -> list[str]:
    """The names of the templates that ship, without `SHIPPED`."""
    folder = resources.files("grm_plugin").joinpath("judging", "templates")
    return sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))


def _resolved(value: str, info: ValidationInfo) -> str:
    base: Path = (info.context or {}).get("base", Path.cwd())
    return str((base / Path(value).expanduser()).resolve())


def _model(value: str, info: ValidationInfo) -> str:
    if not value.startswith((".", "/", "~")):
        return value
    path = _resolved(value, info)
    if not Path(path).exists():
        raise ValueError(f"{value!r} does not exist (looked at {path}); give an existing path or a Hugging Face id")
    return path


def _template(value: str, info: ValidationInfo) -> str:
    if value.startswith(SHIPPED):
        names = shipped_templates()
        if value.removeprefix(SHIPPED) not in names:
            raise ValueError(f"{value!r} does not ship; {SHIPPED} takes {', '.join(names)}")
        return value
    path = _resolved(value, info)
    if not Path(path).is_file():
        raise ValueError(f"{value!r} is no file (looked at {path}); give the path of a template file, or {SHIPPED}NAME")
    return path


ModelPath = Annotated[str, AfterValidator(_model)]
"""A folder, or a Hugging Face id (`owner/name`). What starts with `.`, `/` or `~` is a path and must exist."""

TemplatePath = Annotated[str, AfterValidator(_template)]
"""Path of a text file that exists, or `builtin:` and the name of a template that ships."""

StatePath = Annotated[str, AfterValidator(_resolved)]
"""Path of a file that the service writes; it need not exist yet."""


class Section(BaseModel):
    """Base of every section. Unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())
