"""`grm-plugin attack`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grm_plugin.attacks.attack_run import check_format, measure_persuasion
from grm_plugin.attacks.corpus import FAMILIES, build_corpus
from grm_plugin.attacks.measuring import cases
from grm_plugin.attacks.pairs import read_pairs
from grm_plugin.attacks.report import table, write_json
from grm_plugin.attacks.summary import summarise
from grm_plugin.batch.exit_status import FAILED, INTERRUPTED
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, WITH_WORD, ConfigOrWord, example, load
from grm_plugin.config import name_of
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError

WIDTH = 180
"""Characters per line of the table, wherever it is printed."""

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    options_metavar=WITH_WORD,
    epilog=example("attack preset:dry_run --output attack.json", OVERRIDES),
)
def attack(
    context: typer.Context,
    config: ConfigOrWord = None,
    data: Annotated[Path | None, typer.Option(help="JSONL file of clean pairs; default: a small built-in set.")] = None,
    families: Annotated[
        str | None,
        typer.Option(help=f"Families of attacks to try, comma-separated; default: all, {', '.join(FAMILIES)}."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Try at most this many attacks of each family; default: all.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Judge everything once more without the defences.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for every attack and every row.")
    ] = None,
    deadline: Annotated[
        float,
        typer.Option(min=1, help="Seconds for judging; what is judged by then is reported."),
    ] = 3600,
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Cases judged at once.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed for the attacks that are generated at random.")] = 0,
) -> None:
    """Measure what hostile responses change: first in prompts and the reading of scores, then in the GRM's scores.

    Format: every attack is put into every place of a prompt, without the GRM; nothing else of the prompt may change.
    Persuasion: a weak response, clean and attacked, is judged beside a good one; the row "harmless" shows the noise.
    A line of --data is {"prompt": TEXT or "messages": [...], "good": TEXT, "weak": TEXT}. Exit status: 0, measured; 1,
    the format changed, or rows are missing; 2, a wrong command, configuration or line, or a GRM without votes.
    """
    loaded = load(config, context.args, context)
    check_packages(loaded)
    pairs = read_pairs(data)
    chosen = FAMILIES if families is None else [name.strip() for name in families.split(",")]
    attacks = build_corpus(chosen, limit, seed)
    if output is not None and not output.absolute().parent.is_dir():
        raise ConfigError(f"--output {output}: there is no folder {output.absolute().parent}")
    screen, progress = Console(width=WIDTH), Console(stderr=True)
    checked = check_format(attacks, loaded)
    for line in checked.lines:
        screen.print(line, soft_wrap=True, markup=False, highlight=False)
    todo = cases(attacks, pairs, compare)
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is for the table
    try:
        rows, stopped = asyncio.run(measure_persuasion(loaded, pairs, todo, deadline, concurrency, progress))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    summaries = summarise(rows)
    screen.print()
    screen.print(table(summaries))
    if output is not None:
        write_json(output, name_of(loaded.engine), loaded.sampling.k, attacks, checked, summaries, rows)
    if len(rows) < len(todo):
        reason = stopped or f"--deadline {deadline:g} s has passed"
        progress.print(f"{len(rows)} of {len(todo)} rows: {reason}", soft_wrap=True, markup=False, highlight=False)
    if len(rows) < len(todo) or checked.changed or checked.quoting.forged:
        raise typer.Exit(FAILED)
