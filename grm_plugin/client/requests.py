"""Makes the requests that a client sends."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from typing import Any

from pydantic_core import to_json

from grm_plugin.errors import GroupError
from grm_plugin.types import Group
from grm_plugin.wire.group_forms import to_wire
from grm_plugin.wire.schemas import WireGroup


def encoded(body: dict[str, Any]) -> bytes:
    """The body as JSON."""
    try:
        return to_json(body, inf_nan_mode="constants")
    except ValueError:  # messages may hold lone surrogates, which UTF-8 cannot hold and json escapes
        return json.dumps(body).encode()


def new_id() -> str:
    """An id for all tries of a call."""
    return uuid.uuid4().hex


def sample_path(route: str, n: int, learn: bool) -> str:
    """A route for single samples, with its query."""
    return f"{route}?n={n}&request_id={new_id()}" + ("" if learn else "&learn=false")


def one_response(sample: Group | WireGroup) -> bytes:
    """The body of `/v1/sample`."""
    wire = to_wire(sample)
    if len(wire.responses) != 1:
        raise GroupError(f"areward takes one response, not {len(wire.responses)}; use ajudge for whole groups")
    body = {
        "prompt": wire.prompt if wire.messages is None else wire.messages,
        "response": wire.responses[0],
        "label": wire.reference,
        "rubric": wire.rubric,
        **({"criteria": [asdict(criterion) for criterion in wire.criteria]} if wire.criteria else {}),
        **({"source": wire.source} if wire.source else {}),
    }
    return encoded(body)
