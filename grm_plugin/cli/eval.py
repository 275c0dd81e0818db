"""`grm-plugin eval`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grm_plugin._util.packages import require
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, example, load
from grm_plugin.config import Config
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError
from grm_plugin.evals import suites, vote_runs
from grm_plugin.evals.vote_collector import sampled_config

DEFAULT_K, DEFAULT_CONCURRENCY = 32, 32

PIPE_WIDTH = 120
"""Characters per line where tables are not printed on a terminal."""

SUITE_NAMES = ", ".join([*suites.SUITES, suites.OWN_FORMAT])

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
    suite: Annotated[str, typer.Option(help=f"Benchmark: {SUITE_NAMES} (your own items).")] = "",
    data: Annotated[
        str | None,
        typer.Option(help="File, folder or Hugging Face id of the items; default: the suite's data set on the hub."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML file of the GRM to load in this process.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for votes and report; default: runs/eval/SUITE.")
    ] = None,
    stored: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Folder of an earlier run whose votes to use instead of sampling; repeatable."),
    ] = None,
    k: Annotated[
        int | None, typer.Option(min=1, max=1024, help=f"Votes to sample per item; default: {DEFAULT_K}.")
    ] = None,
    k_meta: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Report meta@k also with this many votes kept, besides half of k; repeatable."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use at most this many items, chosen at random by --seed; default: all.")
    ] = None,
    meta: Annotated[
        bool,
        typer.Option("--meta/--no-meta", help="Rate the critiques with the configuration's meta RM, or leave it out."),
    ] = True,
    name: Annotated[str | None, typer.Option(help="Name of the GRM in the report; default: its id or folder.")] = None,
    seed: Annotated[int, typer.Option(help="Seed for choosing items, sampling votes and computing intervals.")] = 0,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help=f"Items judged or rated at once; default: {DEFAULT_CONCURRENCY}."),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            help="Judge all items, even if no vote can be read; without it the run ends after 20 such items.",
        ),
    ] = False,
) -> None:
    """Measure a GRM on a benchmark: accuracy of a greedy vote and of k sampled ones, with and without the meta RM.

    K votes and a greedy one are sampled per item, once, and kept in OUTPUT/votes.jsonl; after a kill the same command
    goes on where it stopped. From the votes on the items of this command come tables, OUTPUT/report.json and
    OUTPUT/curve.png. Items are left out and counted whose best and worse responses are identical as the GRM is shown
    them, or whose label contradicts another item's on the same prompt and responses. --from FOLDER reports all votes of
    an earlier run again; several folders give the mean over benchmarks, or the differences of models on one benchmark.
    --from FOLDER with --config and --output rates the critiques of an earlier run with the configuration's meta RM.
    Exit status: 0, all items have votes; 1, the engine failed on some, or not one vote could be read; 2, a wrong
    command, configuration or data.
    """
    require("numpy", "matplotlib", what="grm-plugin eval")
    loaded = _config(config, context.args, meta)
    if stored:
        _refuse("--from", suite=suite, data=data, k=k, limit=limit, name=name, keep_going=keep_going)
    if loaded is None:
        if not stored:
            raise ConfigError(
                "give --config (samples votes from its GRM), or --from (reports the votes of an earlier run)"
            )
        _refuse("--from without --config", concurrency=concurrency, no_meta=not meta)
        raise typer.Exit(_report(stored, output, k_meta, seed))
    concurrency = concurrency or DEFAULT_CONCURRENCY
    left_out: Mapping[str, int] = {}
    if stored:
        folder = _other_folder(stored, output)
        status, ids = vote_runs.rate(loaded, stored[0], folder, concurrency)
    else:
        if not suite:
            raise ConfigError(f"--suite is missing: give one of {SUITE_NAMES}")
        folder = output or Path("runs/eval") / suite
        items = suites.load_items(suite, data, limit, seed, loaded.judge)
        left_out = items.left_out
        status, ids = vote_runs.collect(
            sampled_config(loaded, k or DEFAULT_K, seed), items, suite, folder, name, concurrency, keep_going
        )
    if status == 0:
        status = _report([folder], None, k_meta, seed, ids, left_out)
    raise typer.Exit(status)


def _config(path: Path | None, arguments: list[str], meta: bool) -> Config | None:
    if path is None:
        if arguments:
            raise ConfigError(f"{arguments[0]} has no effect without --config; leave it out")
        return None
    loaded = load(path, arguments)
    check_packages(loaded)
    return loaded if meta else loaded.model_copy(update={"meta_rm": None})


def _refuse(stored: str, **options: object) -> None:
    """Refuses options that say how votes are sampled or rated, where stored votes are reported as they are."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, "", False)]
    if given:
        raise ConfigError(f"{stored} takes stored votes as they are: leave {', '.join(given)} out")


def _report(
    folders: list[Path],
    output: Path | None,
    k_meta: list[int] | None,
    seed: int,
    ids: set[str] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> int:
    from grm_plugin.evals.report_stores import report_stores  # loads numpy

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    return report_stores(folders, output, k_meta or (), seed, console, ids, left_out)


def _other_folder(stored: list[Path], output: Path | None) -> Path:
    if len(stored) > 1 or output is None or output.resolve() == stored[0].resolve():
        raise ConfigError("to rate the critiques of a run give one --from, and another folder as --output")
    return output
