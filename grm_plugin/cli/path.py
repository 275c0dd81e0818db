"""`grm-plugin path`."""

from __future__ import annotations

from typing import Annotated

import typer

from grm_plugin.cli.options import example
from grm_plugin.integrations.openrlhf.hook_files import HookFile

app = typer.Typer()


@app.command(epilog=example("path openrlhf-function"))
def path(hook: Annotated[HookFile, typer.Argument(help="The hook whose file to print.")]) -> None:
    """Print the path of an installed hook file, for --reward.remote_url or --train.agent_func_path."""
    typer.echo(hook.path)
