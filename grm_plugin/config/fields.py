"""What the sections of the configuration are made of: paths, and the base class of every section."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


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
    path = _resolved(value, info)
    if not Path(path).is_file():
        raise ValueError(f"{value!r} is no file (looked at {path}); give the path of a template file")
    return path


ModelPath = Annotated[str, AfterValidator(_model)]
"""A folder, or a Hugging Face id (`owner/name`). What starts with `.`, `/` or `~` is a path and must exist."""

TemplatePath = Annotated[str, AfterValidator(_template)]
"""A text file, which must exist."""

StatePath = Annotated[str, AfterValidator(_resolved)]
"""A file that is written, and need not exist yet."""


class Section(BaseModel):
    """Base of every section: unknown keys are errors, docstrings are descriptions, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())
