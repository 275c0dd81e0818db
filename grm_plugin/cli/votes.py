"""`grm-plugin votes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grm_plugin._util.pictures import check_picture
from grm_plugin.cli.options import example
from grm_plugin.votes.report import as_json, draw, lines, report_on
from grm_plugin.votes.stored_lists import read_lists

app = typer.Typer()


@app.command(epilog=example("votes runs/rmb"))
def votes(
    store: Annotated[
        Path, typer.Argument(help="The --output of grm-plugin eval, or a service's trace store.", metavar="STORE")
    ],
    flip: Annotated[
        float, typer.Option(min=0.001, max=0.4999, help="sampling.adaptive.flip of the rule that is tried.")
    ] = 0.05,
    tolerance: Annotated[float, typer.Option(min=0.0001, max=100, help="sampling.adaptive.tolerance, likewise.")] = 0.3,
    orders: Annotated[int, typer.Option(min=1, max=1000, help="Random orders in which votes are replayed.")] = 20,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also draw the curve into this .png or .svg file.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Say how many votes a GRM needs, from votes that are stored already; no model is loaded.

    Replays them in random orders: what fewer votes would have said, where early stopping (sampling.adaptive) would have
    ended, and how reliable the mean of k votes is. Where a meta RM rated them, half of those drawn vote. Ends with one
    sentence of advice. Exit status: 0; 2, a wrong command or store.
    """
    check_picture(output)
    lists, left_out = read_lists(store)
    report = report_on(lists, orders, flip, tolerance, left_out)
    if output is not None:
        draw(report, output)
    typer.echo(as_json(report) if json_ else "\n".join(lines(report)))
