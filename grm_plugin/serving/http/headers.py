"""Looks up one header of a request, without making an object of all of them."""

from __future__ import annotations

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> bytes:
    """The value of the first header of this name, given in lower case as ASGI has it; empty where there is none."""
    return next((value for key, value in scope["headers"] if key == name), b"")
