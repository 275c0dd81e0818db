"""The routes of the service and their messages, from the OpenAPI schema of its FastAPI app."""

from __future__ import annotations

import json
from typing import Any

from fastapi.routing import APIRoute

from generators.markdown import code, described, table
from generators.schema import Schema, limits_in_words, type_in_words
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.service import RewardService


def page() -> str:
    """The page: routes, then the messages that they take and give."""
    app = create_app(_no_service)
    schema = app.openapi()
    others = [route for route in app.routes if isinstance(route, APIRoute) and not route.include_in_schema]
    blocks = [
        "# HTTP API",
        described(schema["info"].get("description"), "the HTTP API"),
        "## Routes",
        *(
            _route(method, path, route)
            for path, methods in schema["paths"].items()
            for method, route in methods.items()
        ),
        "## Routes without a schema",
        "They answer with pages, files or text. Each is defined in the module beside it.",
        table(("Route", "Module"), ((_title(route), code(route.endpoint.__module__)) for route in others)),
        "## Messages",
        *(_message(name, message) for name, message in schema["components"]["schemas"].items()),
    ]
    return "\n\n".join(blocks) + "\n"


def _no_service() -> RewardService:
    raise RuntimeError("the schema of the HTTP API is read without a service")


def _title(route: APIRoute) -> str:
    return ", ".join(code(f"{method} {route.path}") for method in sorted(route.methods))


def _route(method: str, path: str, route: Schema) -> str:
    title = f"{method.upper()} {path}"
    blocks = [f"### {code(title)}", described(route.get("summary"), title) + ".", route.get("description", "")]
    parameters: list[dict[str, Any]] = route.get("parameters", [])
    if parameters:
        rows = (
            (
                code(parameter["name"]),
                parameter["in"],
                *_value(parameter["schema"], parameter.get("required", False)),
                described(parameter.get("description"), f"parameter {parameter['name']} of {title}"),
            )
            for parameter in parameters
        )
        blocks.append(table(("Parameter", "In", "Type", "Default", "Meaning"), rows))
    if "requestBody" in route:
        blocks.append(f"Request body: {_content(route['requestBody'])}.")
    replies = (
        (code(status), _content(reply), described(reply.get("description"), f"status {status} of {title}"))
        for status, reply in sorted(route["responses"].items())
    )
    blocks.append(table(("Status", "Body", "Meaning"), replies))
    return "\n\n".join(block for block in blocks if block)


def _content(body: Schema) -> str:
    """What a body holds."""
    return ", ".join(
        f"{type_in_words(content['schema'], _link)} ({code(media_type)})"
        for media_type, content in body.get("content", {}).items()
    )


def _message(name: str, message: Schema) -> str:
    rows = (
        (
            code(field),
            *_value(schema, field in message.get("required", ())),
            described(schema.get("description"), f"field {field} of message {name}"),
        )
        for field, schema in message["properties"].items()
    )
    heading = f"({_label(name)})=\n### {code(name)}"
    return "\n\n".join(
        [
            heading,
            described(message.get("description"), f"message {name}"),
            table(("Field", "Type", "Default", "Meaning"), rows),
        ]
    )


def _value(schema: Schema, required: bool) -> tuple[str, str]:
    """Type with its limits, and default."""
    limits = limits_in_words(schema)
    default = "required" if required else code(json.dumps(schema["default"])) if "default" in schema else "optional"
    return type_in_words(schema, _link) + (f", {limits}" if limits else ""), default


def _link(name: str) -> str:
    return f"{{ref}}`{name} <{_label(name)}>`"


def _label(name: str) -> str:
    return f"message-{name.lower()}"
