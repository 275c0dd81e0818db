"""`grm-plugin eval`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from grm_plugin._util.packages import require
from grm_plugin._util.text import one_line
from grm_plugin.batch.local_engines import scalar_model
from grm_plugin.cli.options import OVERRIDABLE, example, load, load_model
from grm_plugin.config import Config
from grm_plugin.config.loading import split_overrides
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError
from grm_plugin.evals import scalar_runs, vote_runs
from grm_plugin.evals.benchmarks import suites
from grm_plugin.evals.recorded.reading import read_recorded
from grm_plugin.evals.recorded.storing import store_recorded
from grm_plugin.evals.reported_k import require_k_meta
from grm_plugin.evals.vote_collector import sampled_config

DEFAULT_K, DEFAULT_CONCURRENCY = 32, 32

RUNS = Path("runs/eval")
"""Folder of the runs that are given no --output."""

WIDTH = 1000
"""Characters per line, whatever the terminal has: rich would cut figures to fit, a terminal only breaks the line."""

NOT_HERE = ("sampling.k", "sampling.adaptive")
"""Keys of a configuration that this command does not follow."""

SUITE_NAMES = ", ".join([*suites.SUITES, suites.OWN_FORMAT])

app = typer.Typer()


@app.command(
    "eval",
    context_settings=OVERRIDABLE,
    epilog=example(
        "eval --config preset:dry_run --suite rmb --data rmb --limit 100 --output runs/rmb",
        "Other values of the configuration can be overridden: --grm.sampling.temperature 0.7; given twice, the last "
        "one counts.",
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
        Path | None,
        typer.Option("--config", "-c", help="YAML file, or preset:NAME, of the GRM to load in this process."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or Hugging Face id of a GRM to load without a YAML file; its name tells the judge.preset."
        ),
    ] = None,
    scalar: Annotated[
        bool,
        typer.Option(
            "--scalar",
            help="--model (or engine.model of --config) is a scalar reward model, which rates each response once.",
        ),
    ] = False,
    recorded: Annotated[
        Path | None,
        typer.Option("--import", help="File or folder of judgements that were recorded elsewhere, to report here."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for votes and report; default: runs/eval/SUITE.")
    ] = None,
    stored: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Folder of an earlier run whose votes to use instead of sampling; repeatable."),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help=f"Votes per item: those missing are sampled, and so many are reported; default: {DEFAULT_K} "
            "(--from: as many as there are).",
        ),
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
    seed: Annotated[
        int, typer.Option(min=0, help="Seed for choosing items, sampling votes and computing intervals.")
    ] = 0,
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
    OUTPUT/curve.png. Items whose best and worse responses are identical as the GRM is shown them, or whose label
    contradicts another item's on the same prompt and responses, are counted: own items are left out, those of a
    benchmark are kept for its official figure and left out of the strict one. With a larger --k the same command
    samples the votes that are missing; with a smaller one it samples nothing and reports fewer. --from FOLDER reports
    all votes of an earlier run again; several folders give the mean over benchmarks, or the differences of models on
    one benchmark. --from FOLDER with --config and --output rates the critiques of an earlier run with the
    configuration's meta RM. --import PATH reports judgements that were made elsewhere: JudgeBench's published outputs,
    the score files of RM-Bench, RMB and RewardBench, or lines {"id": ITEM, "votes": [{"scores": [8, 3]}, ...]} with
    --data. Every item of the data needs a judgement, unless --limit leaves it out.
    Exit status: 0, all items have votes; 1, the engine failed on some, or not one vote could be read; 2, a wrong
    command, configuration or data.
    """
    require("numpy", "matplotlib", what="grm-plugin eval")
    name = one_line(name or "") or None
    if recorded:
        sampling = {"k_meta": k_meta, "no_meta": not meta, "concurrency": concurrency, "keep_going": keep_going}
        _refuse("--import", config=config, model=model, **{"from": stored}, scalar=scalar, **sampling)
        _need_config(None, None, context.args)
        found = read_recorded(recorded, _need_suite(suite), data, limit, seed, name)
        folder = output or RUNS / suite
        ids = store_recorded(found, folder)
        raise typer.Exit(_report([folder], None, None, seed, ids, found.loaded.left_out, k, name))
    if stored:
        _refuse("--from", suite=suite, data=data, limit=limit, name=name, keep_going=keep_going, scalar=scalar)
    loaded = _need_config(config, model, context.args)
    if loaded is None:
        if not stored:
            raise ConfigError(
                "give --config or --model (samples votes from that GRM), --from (reports the votes of an earlier run) "
                "or --import (recorded judgements)"
            )
        _refuse("--from without --config", concurrency=concurrency, no_meta=not meta)
        raise typer.Exit(_report(stored, output, k_meta, seed, k=k))
    concurrency = concurrency or DEFAULT_CONCURRENCY
    left_out: Mapping[str, int] = {}
    if scalar:
        _refuse("--scalar rates each response once:", k=k, k_meta=k_meta, no_meta=not meta, keep_going=keep_going)
        _refuse_overrides("--scalar takes engine only:", context.args, lambda key: not key.startswith("engine."))
        engine, named = scalar_model(loaded), f"--model {model}" if model else "engine.model"
        items = suites.load_items(_need_suite(suite), data, limit, seed, suites.WHOLE_TEXTS)
        folder, left_out = output or RUNS / suite, items.left_out
        status, ids = scalar_runs.collect_scalar(engine, named, items, suite, folder, name, concurrency)
    else:
        loaded = loaded if meta else loaded.model_copy(update={"meta_rm": None})
        if stored:
            folder = _other_folder(stored, output)
            status, ids = vote_runs.rate(loaded, stored[0], folder, concurrency)
        else:
            _refuse_overrides("eval samples --k votes of every item:", context.args, NOT_HERE.__contains__)
            items = suites.load_items(_need_suite(suite), data, limit, seed, loaded.judge)
            folder, left_out = output or RUNS / suite, items.left_out
            k = k or DEFAULT_K
            require_k_meta(k_meta or (), k)
            status, ids = vote_runs.collect(
                sampled_config(loaded, k, seed), items, suite, folder, name, concurrency, keep_going
            )
    if status == 0:
        status = _report([folder], None, k_meta, seed, ids, left_out, k, name)
    raise typer.Exit(status)


def _need_suite(suite: str) -> str:
    if not suite:
        raise ConfigError(f"--suite is missing: give one of {SUITE_NAMES}")
    return suite


def _need_config(path: Path | None, model: str | None, arguments: list[str]) -> Config | None:
    """The configuration that the options name; None where they name none."""
    if path is not None and model is not None:
        raise ConfigError("give --config or --model, not both: --grm.engine.model NAME puts a model into a config file")
    if path is None and model is None:
        if arguments:
            raise ConfigError(f"{arguments[0]} has no effect without --config or --model; leave it out")
        return None
    loaded = load(path, arguments) if path is not None else load_model(model or "", arguments)
    check_packages(loaded)
    return loaded


def _refuse(by: str, **options: object) -> None:
    """Refuses options that would have no effect beside what `by` names."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, "", False)]
    if given:
        takes = "" if by.endswith(":") else " takes stored votes as they are:"
        raise ConfigError(f"{by}{takes} leave {', '.join(given)} out")


def _refuse_overrides(by: str, arguments: list[str], without_effect: Callable[[str], bool]) -> None:
    """Refuses values of the configuration that were typed and would have no effect; a file may hold them for others."""
    typed = [key for key in split_overrides(arguments)[0] if without_effect(key)]
    if typed:
        raise ConfigError(f"{by} leave {', '.join(f'--grm.{key}' for key in typed)} out")


def _report(
    folders: list[Path],
    output: Path | None,
    k_meta: list[int] | None,
    seed: int,
    ids: set[str] | None = None,
    left_out: Mapping[str, int] | None = None,
    k: int | None = None,
    name: str | None = None,
) -> int:
    from grm_plugin.evals.reports.stores import report_stores  # loads numpy

    return report_stores(folders, output, k_meta or (), seed, Console(width=WIDTH), ids, left_out, k, name)


def _other_folder(stored: list[Path], output: Path | None) -> Path:
    if len(stored) > 1 or output is None or output.resolve() == stored[0].resolve():
        raise ConfigError("to rate the critiques of a run give one --from, and another folder as --output")
    return output
