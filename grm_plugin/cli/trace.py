"""`grm-plugin traces` and `grm-plugin view`: reading a trace store without a service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from grm_plugin.cli.options import example
from grm_plugin.errors import ConfigError
from grm_plugin.trace.export import write_json_lines, write_parquet
from grm_plugin.trace.filters import Filter, Sort
from grm_plugin.trace.safe_text import plain
from grm_plugin.trace.store_reader import GroupRow, StoreReader

WRITERS = {".jsonl": write_json_lines, ".parquet": write_parquet}

app = typer.Typer()

StorePath = Annotated[Path, typer.Argument(help="Trace store: the file at trace.path of the service.", metavar="STORE")]


@app.command(epilog=example("traces runs/traces.db --min-spread 2 --sort disputed"))
def traces(
    store: StorePath,
    text: Annotated[
        str, typer.Option("--text", "-t", help="Only groups with these words in the prompt, a response or a critique.")
    ] = "",
    min_reward: Annotated[float | None, typer.Option(help="Only groups with a reward of at least this.")] = None,
    max_reward: Annotated[float | None, typer.Option(help="Only groups with a reward of at most this.")] = None,
    min_spread: Annotated[
        float | None,
        typer.Option(help="Only groups whose votes have at least this standard deviation, in points of 1..10."),
    ] = None,
    lost_votes: Annotated[bool, typer.Option("--lost-votes", help="Only groups with a lost vote.")] = False,
    fallback: Annotated[bool, typer.Option("--fallback", help="Only groups with a missing reward.")] = False,
    sort: Annotated[
        Sort, typer.Option(help="Which groups come first; disputed: those whose votes differ most.")
    ] = Sort.NEWEST,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="List at most this many groups.")] = 20,
    export: Annotated[
        Path | None,
        typer.Option(help="Write all matching groups to this .jsonl or .parquet file instead of listing them."),
    ] = None,
) -> None:
    """List, filter and export the groups that a service has judged."""
    chosen = Filter(text, min_reward, max_reward, min_spread, lost_votes, fallback, sort)
    reader = StoreReader(store)
    try:
        if export is not None:
            typer.echo(f"{_write(reader, chosen, export):,} groups in {export}")
            return
        typer.echo(f"{reader.count(chosen):,} of {reader.count(Filter()):,} groups")
        for row in reader.page(chosen, limit):
            typer.echo(_line(row))
        for gap in reader.gaps(5):
            typer.echo(f"{gap.dropped:,} groups before {_date(gap.time)} are missing: {plain(gap.reason)}", err=True)
    finally:
        reader.close()


@app.command(epilog=example("view runs/traces.db"))
def view(
    store: StorePath,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8791,
) -> None:
    """Show a trace store on the service's trace page, without the service. Ctrl-C ends it."""
    from grm_plugin.serving.http.trace_app import serve_page

    StoreReader(store).close()  # raises an error for a bad store before the server starts
    serve_page(store, host, port, lambda url: typer.echo(f"traces of {store} at {url}"))


def _write(reader: StoreReader, chosen: Filter, path: Path) -> int:
    write = WRITERS.get(path.suffix)
    if write is None:
        raise ConfigError(f"--export {path}: give a name that ends in {' or '.join(WRITERS)}")
    try:
        return write(reader, chosen, path)
    except OSError as error:
        raise ConfigError(f"--export {path}: {error.strerror or error}") from None


def _line(row: GroupRow) -> str:
    rewards = "no reward" if row.reward_min is None else f"{row.reward_min:.3g} .. {row.reward_max:.3g}"
    marks = f" {row.asked - row.parsed} lost" * (row.parsed < row.asked) + f" {row.fallbacks} fallback" * bool(
        row.fallbacks
    )
    spread = "    -" if row.spread is None else f"{row.spread:5.2f}"
    return (
        f"#{row.id:<7} {_date(row.time)}  {rewards:>16}  ±{spread}  {row.kept}/{row.asked} votes{marks}  "
        f"{plain(row.preview)[:80]}"
    )


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
