"""The command line `grm-plugin`: its commands, one file each, in the order in which help lists them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from io import TextIOWrapper
from typing import Annotated

import typer

from grm_plugin import __version__
from grm_plugin._util.packages import missing
from grm_plugin.batch.exit_status import USAGE_ERROR
from grm_plugin.errors import GRMError

DEBUG = "--debug"

START = "Start: grm-plugin doctor preset:dry_run, then grm-plugin serve preset:dry_run"

FILES = {
    "serve": "serve",
    "stop": "serve",
    "status": "status",
    "init": "init",
    "config": "config",
    "path": "path",
    "doctor": "doctor",
    "plan": "plan",
    "score": "score",
    "eval": "eval",
    "votes": "votes",
    "sample": "sample",
    "best-of": "best_of",
    "attack": "attack",
    "spct": "spct",
    "traces": "trace",
    "view": "trace",
}
"""By command, in the order in which help lists them: the file that has it. Only the file of the command that is run is
imported: all of them take a second or two."""


def build(files: Iterable[str]) -> typer.Typer:
    """The command line with the commands of these files."""
    found = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        epilog=START,
        help="A generative reward model (GRM) as the reward of RLHF: it reads a prompt and its responses, writes "
        "critiques, and each critique is a vote on every response.",
    )
    for file in dict.fromkeys(files):
        commands = importlib.import_module(f"grm_plugin.cli.{file}")
        found.add_typer(commands.app, name="spct" if file == "spct" else None)
    found.callback(invoke_without_command=True)(options)
    return found


def __getattr__(name: str) -> typer.Typer:
    """`app`: the command line with all commands."""
    if name != "app":
        raise AttributeError(name)
    return build(FILES.values())


def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    """What stands before a command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that a terminal cannot show must not cost a run its figures
            stream.reconfigure(errors="backslashreplace")
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point. An expected error is one line on stderr and exit status 2; `--debug` shows its traceback."""
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    named = next(iter(arguments), "")
    files = [FILES[named]] if named in FILES else FILES.values()
    try:
        build(["path"] if named == "--version" else files)(arguments, prog_name="grm-plugin")
    except (GRMError, ModuleNotFoundError) as error:
        if DEBUG in sys.argv:
            raise
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        typer.echo(f"grm-plugin: {missing([absent.partition('.')[0]], 'this command') if absent else error}", err=True)
        sys.exit(USAGE_ERROR)
