"""`grm-plugin eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, example, load
from grm_plugin.config import Config
from grm_plugin.errors import ConfigError
from grm_plugin.evals import runs, suites
from grm_plugin.evals.collecting import sampled_config

DEFAULT_K, DEFAULT_CONCURRENCY = 32, 32

PIPE_WIDTH = 120

app = typer.Typer()


@app.command(
    "eval",
    context_settings=OVERRIDABLE,
    epilog=example(
        "eval --config configs/nano_cpu.yaml --suite rmb --data rmb --limit 100 --output runs/rmb", OVERRIDES
    ),
)
def evaluate(
    context: typer.Context,
    suite: Annotated[str, typer.Option(help=f"{', '.join([*suites.SUITES, suites.OWN])}.")] = "",
    data: Annotated[
        str | None, typer.Option(help="File, folder or Hugging Face id; the published one if absent.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file: loads the GRM here.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; runs/eval/SUITE if absent.")] = None,
    stored: Annotated[list[Path] | None, typer.Option("--from", help="Folder of a run: no GRM is loaded.")] = None,
    k: Annotated[
        int | None, typer.Option(min=1, max=1024, help=f"Votes drawn per item; {DEFAULT_K} if absent.")
    ] = None,
    k_meta: Annotated[list[int] | None, typer.Option(min=1, help="Critiques to keep, beside k/2; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many items, drawn at random.")] = None,
    meta: Annotated[bool, typer.Option("--meta/--no-meta", help="Use the configuration's meta RM.")] = True,
    name: Annotated[str | None, typer.Option(help="What to call the GRM in the report.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draw of items and votes, and of the intervals.")] = 0,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help=f"Items judged or rated at once; {DEFAULT_CONCURRENCY} if absent."),
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Judge all items, even if nothing can be read.")
    ] = False,
) -> None:
    """Measure a GRM on a benchmark: accuracy of a greedy vote and of k sampled ones, with and without the meta RM.

    K votes and a greedy one are drawn per item, once, and kept in OUTPUT/votes.jsonl; the same command goes on after a
    kill. Everything is computed from the votes on the items of this command: a table, OUTPUT/report.json,
    OUTPUT/curve.png. --from FOLDER computes it again, over all items in the store, and takes several folders for a mean
    over benchmarks; --from FOLDER with --config and --output rates the kept critiques with the configuration's meta RM.
    Exit status: 0, all items have votes; 1, the engine failed for some, or not one vote could be read; 2, a wrong
    command, configuration or data.
    """
    loaded = _config(config, context.args, meta)
    if stored:
        _refuse("--from", suite=suite, data=data, k=k, limit=limit, name=name, keep_going=keep_going)
    if loaded is None:
        if not stored:
            raise ConfigError("give --config (draws votes with its GRM), or --from (figures of an earlier run)")
        _refuse("--from without --config", concurrency=concurrency, no_meta=not meta)
        raise typer.Exit(runs.report(stored, output, k_meta or (), seed, _console()))
    concurrency = concurrency or DEFAULT_CONCURRENCY
    if stored:
        folder = _other_folder(stored, output)
        status, ids = runs.rate(loaded, stored[0], folder, concurrency)
    else:
        if not suite:
            raise ConfigError(f"--suite is missing: give one of {', '.join([*suites.SUITES, suites.OWN])}")
        folder = output or Path("runs/eval") / suite
        items = suites.load(suite, data, limit, seed)
        status, ids = runs.collect(
            sampled_config(loaded, k or DEFAULT_K, seed), items, suite, folder, name, concurrency, keep_going
        )
    if status == 0:
        status = runs.report([folder], None, k_meta or (), seed, _console(), ids)
    raise typer.Exit(status)


def _config(path: Path | None, arguments: list[str], meta: bool) -> Config | None:
    if path is None:
        if arguments:
            raise ConfigError(f"{arguments[0]} has no effect without --config; leave it out")
        return None
    loaded = load(path, arguments)
    return loaded if meta else loaded.model_copy(update={"meta_rm": None})


def _refuse(stored: str, **options: object) -> None:
    """Options that are given, but say how votes are drawn, or rated, where stored ones are reported as they are."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, "", False)]
    if given:
        raise ConfigError(f"{stored} takes stored votes as they are: leave {', '.join(given)} out")


def _console() -> Console:
    """For tables; a pipe, which has no width, gets room for all columns."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def _other_folder(stored: list[Path], output: Path | None) -> Path:
    if len(stored) > 1 or output is None or output.resolve() == stored[0].resolve():
        raise ConfigError("to rate the critiques of a run give one --from, and another folder as --output")
    return output
