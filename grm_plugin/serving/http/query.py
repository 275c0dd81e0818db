"""The query parameters of the routes that judge, and the refusal of all others."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError

SamplesPerPrompt = Annotated[int | None, Query(ge=1, le=4096, description="Samples per prompt, judged together.")]
RequestId = Annotated[
    str | None,
    Query(
        max_length=128,
        description="A request repeated with the same id waits for the work of the first one; it is no second sample.",
    ),
]
Learn = Annotated[
    bool,
    Query(
        description="False for evaluation: `normalize.method` running does not learn from the sample, which is no "
        "sibling of samples in training."
    ),
]
WithLogs = Annotated[bool, Query(description="Answer with an object of the reward and its log values, not a number.")]

NAME_CHARS = 64
"""Most of a parameter's name that a reply repeats."""


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of routes: a parameter that the route does not have, or that comes twice, is an error.

    `?N=8` would otherwise leave a job without its group size, and nothing would say so.

    Raises:
        RequestValidationError: becomes a 422 that names the parameter.
    """
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    given = request.query_params
    problems = [
        (
            name,
            f"unknown parameter; this route has {', '.join(known) or 'none'}" if name not in known else "given twice",
        )
        for name in dict.fromkeys(given)
        if name not in known or len(given.getlist(name)) > 1
    ]
    if problems:
        raise RequestValidationError(
            [
                {"loc": ("query", name[:NAME_CHARS]), "msg": message, "type": "unknown_parameter"}
                for name, message in problems[:10]
            ]
        )
