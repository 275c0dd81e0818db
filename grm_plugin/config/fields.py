"""The base class of the configuration's sections, and the types of the paths in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


def _resolved(value: str, info: ValidationInfo) -> str:
    base: Path = (info.context or {}).get("base", Path.cwd())
    return str((base / Path(value).expanduser()).resolve())


def _model(value: str, info: ValidationInfo) -> str:
    if not value:
        raise ValueError("it is empty; give an existing path or a Hugging Face id")
    context = info.context or {}
    if value in context.get("typed", ()) and os.path.exists(value):
        return str(Path(value).resolve())
    path = _resolved(value, info)
    if os.path.exists(path):
        return path
    if value.startswith((".", "/", "~")):
        raise ValueError(f"{value!r} does not exist (looked at {path}); give an existing path or a Hugging Face id")
    return value


def _template(value: str, info: ValidationInfo) -> str:
    path = _resolved(value, info)
    if not Path(path).is_file():
        raise ValueError(f"{value!r} is no file (looked at {path}); give the path of a template file")
    return path


ModelPath = Annotated[str, AfterValidator(_model)]
"""A folder, or a Hugging Face id (`owner/name`). A folder of that name beside the file counts before the id; of an
override, one in the current directory before both. What starts with `.`, `/` or `~` is a path and must exist."""

TemplatePath = Annotated[str, AfterValidator(_template)]
"""Path of a text file that exists."""

StatePath = Annotated[str, AfterValidator(_resolved)]
"""Path of a file that the service writes; it need not exist yet."""


class Section(BaseModel):
    """Base of every section. Unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())
