"""The commands of `grm-plugin`, from its Typer app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from generators.markdown import code, described, directive
from grm_plugin.cli.app import app

PROGRAM = "grm-plugin"


def commands() -> dict[str, Any]:
    """The commands and groups of commands by name, `grm-plugin` itself first, groups before what is in them.

    Typer's classes for commands are internal to it, and change between its versions.
    """
    return dict(_walk(PROGRAM, typer.main.get_command(app)))


def page() -> str:
    """The page, with a heading for every command."""
    return "# Command line\n\n" + "\n".join(_command(name, command) for name, command in commands().items())


def label(name: str) -> str:
    """What a link to a command names."""
    return "command-" + name.replace(" ", "-")


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for part, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _walk(f"{name} {part}", below)


def _command(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parameters = [_parameter(name, parameter, context) for parameter in command.params]
    blocks = [
        f"({label(name)})=\n{'#' * min(name.count(' ') + 2, 3)} {code(name)}",
        described(command.help, f"command {name}"),
        f"```text\n{usage}\n```",
        f"```{{program}} {name}\n```",
        *parameters,
        command.epilog or "",
        *(f"- {code(f'{name} {part}')}" for part in getattr(command, "commands", {})),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _parameter(command: str, parameter: Any, context: typer.Context) -> str:
    record = parameter.get_help_record(context)
    if record is None:  # hidden
        return ""
    names, text = record
    described(parameter.help, f"{names} of {command}")
    return directive("option", names, {}, text)
