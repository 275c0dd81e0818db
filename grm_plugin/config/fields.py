"""The base class of the configuration's sections, and the types of the paths in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

SHIPPED = "builtin:"
"""Begins the name of a template that ships with the package."""


def shipped_templates() -> list[str]:
    """The names of the templates that ship, without `SHIPPED`."""
    folder = resources.files("grm_plugin").joinpath("judging", "templates")
    return sorted(file.name.removesuffix(".txt") for file in folder.iterdir() if file.name.endswith(".txt"))


def resolved(value: str, info: ValidationInfo) -> str:
    base: Path = (info.context or {}).get("base", Path.cwd())
    return str((base / Path(value).expanduser()).resolve())


def _model(value: str, info: ValidationInfo) -> str:
    if not value:
        raise ValueError("it is empty; give an existing path or a Hugging Face id")
    context = info.context or {}
    if value in context.get("typed", ()) and os.path.exists(value):
        return str(Path(value).resolve())
    path = resolved(value, info)
    if os.path.exists(path):
        return path
    if value.startswith((".", "/", "~")):
        raise ValueError(f"{value!r} does not exist (looked at {path}); give an existing path or a Hugging Face id")
    return value


def _template(value: str, info: ValidationInfo) -> str:
    if value.startswith(SHIPPED):
        names = shipped_templates()
        if value.removeprefix(SHIPPED) not in names:
            raise ValueError(f"{value!r} does not ship; {SHIPPED} takes {', '.join(names)}")
        return value
    path = resolved(value, info)
    if not Path(path).is_file():
        raise ValueError(f"{value!r} is no file (looked at {path}); give the path of a template file, or {SHIPPED}NAME")
    return path


def _is_number(field: FieldInfo | None) -> bool:
    annotation = field.annotation if field else None
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return bool({int, float} & set(kinds))


def json_mapping(set_by: Mapping[str, str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A validator for a mapping that is sent as JSON; `set_by` names who sets the entries that it must not have."""

    def check(value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in set_by:
                raise ValueError(f"{name} is set by {set_by[name]}; leave it out here")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"it must hold what JSON can ({error})") from None
        return value

    return check


ModelPath = Annotated[str, AfterValidator(_model)]
"""A folder, or a Hugging Face id (`owner/name`). A folder of that name beside the file counts before the id; of an
override, one in the current directory before both. What starts with `.`, `/` or `~` is a path and must exist."""

TemplatePath = Annotated[str, AfterValidator(_template)]
"""Path of a text file that exists, or `builtin:` and the name of a template that ships."""

StatePath = Annotated[str, AfterValidator(resolved)]
"""Path of a file that the service writes; it need not exist yet."""


class Section(BaseModel):
    """Base of every section. Unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values_for_numbers(cls, data: Any) -> Any:
        """Have `k: yes` refused, which pydantic would take for 1: as a text it is no number."""
        if not isinstance(data, dict):
            return data
        return {
            name: str(value).lower() if isinstance(value, bool) and _is_number(cls.model_fields.get(name)) else value
            for name, value in data.items()
        }
