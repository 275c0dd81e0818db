"""`grm-plugin score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.batch.group_judges import in_process, over_http
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, example, load
from grm_plugin.client import MARGIN_S
from grm_plugin.client.readiness import read_fingerprint, read_ready
from grm_plugin.config.packages import check_packages
from grm_plugin.engines.fingerprint import reward_fingerprint
from grm_plugin.errors import ConfigError
from grm_plugin.score.score_run import Rewarding, score_file

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    epilog=example("score answers.jsonl --config preset:dry_run --output rewards.jsonl", OVERRIDES),
)
def score(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="JSONL file with one group per line.", exists=True, dir_okay=False, metavar="FILE")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="JSONL file for the judgements; a later run adds to it.")
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="YAML file, or preset:NAME, of the GRM to load in this process."),
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask the service at http://HOST:PORT instead of loading a GRM.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Groups judged at once.")] = 32,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad lines out instead of refusing the file.")
    ] = False,
) -> None:
    """Judge a file of prompts and responses: one reward per response, with every vote and critique.

    A line of FILE is {"prompt": TEXT or "messages": [{"role", "content"}, ...], "responses": [TEXT, ...]}, and may have
    "reference", "rubric", "criteria", "source" and "id". A line of the output has the id, the line number, and what
    POST /v1/score of the service answers for the group. The same command again judges only the groups that have no
    result yet; with another configuration, or another group under the same id, it is refused. Exit status: 0, all
    groups have a result; 1, the engine failed on some; 2, a wrong command, configuration or line.
    """
    _check_paths(file, output)
    rewarding = _rewarding(context, config, url, concurrency)
    if status := score_file(rewarding, file, output, concurrency, skip_bad):
        raise typer.Exit(status)


def _check_paths(file: Path, output: Path) -> None:
    if not file.is_file():
        raise ConfigError(f"{file} must be a plain file: not a pipe: all of it is checked before anything is judged")
    if output.exists() and output.samefile(file):
        raise ConfigError(f"--output {output} is the input; give another file")


def _rewarding(context: typer.Context, config: Path | None, url: str | None, concurrency: int) -> Rewarding:
    """A GRM in this process or a running service, as the options say."""
    if (config is None) == (url is None):
        raise ConfigError("give either --config (loads the GRM here) or --url (a running service)")
    if config is not None:
        loaded = load(config, context.args, context)
        check_packages(loaded)
        return Rewarding(in_process(loaded), reward_fingerprint(loaded), loaded.normalize.method == "running")
    assert url is not None
    if context.args:
        raise ConfigError(f"{context.args[0]} has no effect on a running service; leave it out, or use --config")
    judging = over_http(url, concurrency, read_ready(url).deadline_s + MARGIN_S)
    return Rewarding(judging, read_fingerprint(url))
