"""`grm-plugin config`."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml

from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, WITH_WORD, ConfigOrWord, example, load
from grm_plugin.config.explaining import explained

app = typer.Typer()


@app.command(
    "config",
    context_settings=OVERRIDABLE,
    options_metavar=WITH_WORD,
    epilog=example("config preset:dry_run --explain", OVERRIDES),
)
def show_config(
    context: typer.Context,
    config: ConfigOrWord = None,
    explain: Annotated[bool, typer.Option(help="Write above every key what it means.")] = False,
) -> None:
    """Print the whole configuration: the file's values, the overrides, and the defaults of all other keys."""
    loaded = load(config, context.args, context)
    plain = yaml.safe_dump(loaded.model_dump(mode="json"), sort_keys=False)
    typer.echo(explained(loaded) if explain else plain, nl=False)
