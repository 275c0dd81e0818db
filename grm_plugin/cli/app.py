"""The command line `grm-plugin`: its commands, one file each, in the order in which help lists them."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from grm_plugin import __version__
from grm_plugin._util.packages import missing
from grm_plugin.batch.exit_status import USAGE_ERROR
from grm_plugin.cli import attack, config, doctor, eval, path, plan, score, serve, spct, status, trace, votes
from grm_plugin.errors import GRMError

DEBUG = "--debug"

START = "Start: grm-plugin doctor --config configs/dry_run.yaml, then grm-plugin serve --config configs/dry_run.yaml"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=START,
    help="A generative reward model (GRM) as the reward of RLHF: it reads a prompt and its responses, writes "
    "critiques, and each critique is a vote on every response.",
)


for command in (serve, status, config, path, doctor, plan, score, eval, votes, attack):
    app.add_typer(command.app)
app.add_typer(spct.app, name="spct")
app.add_typer(trace.app)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error; may stand anywhere.")] = False,
) -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a sign that a terminal cannot show must not cost a run its figures
            stream.reconfigure(errors="backslashreplace")
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point. An expected error is one line on stderr and exit status 2; `--debug` shows its traceback."""
    try:
        app([argument for argument in sys.argv[1:] if argument != DEBUG])
    except (GRMError, ModuleNotFoundError) as error:
        if DEBUG in sys.argv:
            raise
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        typer.echo(f"grm-plugin: {missing([absent.partition('.')[0]], 'this command') if absent else error}", err=True)
        sys.exit(USAGE_ERROR)
