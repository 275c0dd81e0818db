"""`grm-plugin status`."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from typing import Annotated

import typer

from grm_plugin._util.background import start_in_background
from grm_plugin.batch.exit_status import FAILED
from grm_plugin.cli.options import example
from grm_plugin.errors import GRMError
from grm_plugin.serving.status import ReplicaStatus, ServiceStatus, services_without_ray
from grm_plugin.wire.token import read_token

CONNECT_S = 30.0
"""For the connection to a Ray cluster, which takes some seconds where all is well."""

COLUMNS = ("replica", "state", "node", "GPUs", "lists", "requests", "KV cache", "restarts", "process")

app = typer.Typer()


@app.command(
    epilog=example("status --json", "Exit status: 0, all services and replicas are ready; 1, one is not, or none runs.")
)
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=86_400,
            help="Seconds to wait for answers; what is frozen is then shown as not answering. A service itself gives a "
            "GRM that is silent 30 s.",
        ),
    ] = 35.0,
) -> None:
    """Show which services run, where, on which GPUs, and how full they are: without Ray, those of this user on this
    machine; on Ray, those of the cluster at RAY_ADDRESS, or else of the cluster that runs on this machine.

    Requests, one per order of a list, are given as those that a replica has of those that it takes at once. A service
    without Ray is asked with the token in GRM_TOKEN.
    """
    token = read_token()
    cluster, on_ray = _ask_cluster(timeout)
    services = services_without_ray(token, timeout)
    problem = ""
    try:
        services += on_ray.result(CONNECT_S + timeout) if on_ray else []
    except TimeoutError:
        problem = f"{cluster} does not answer within {CONNECT_S + timeout:g} s"
    except GRMError as error:
        problem = str(error)
    except Exception as error:  # whatever Ray raises where a part of it is gone: the other services are still shown
        problem = f"{cluster} cannot be asked: {type(error).__name__}: {error}"
    if as_json:
        typer.echo(json.dumps({"services": [asdict(service) for service in services], "problem": problem}, indent=2))
    else:
        typer.echo("\n\n".join(map(_shown, services)) or _none(cluster, problem))
        if problem:
            typer.echo(problem, err=True)
    if problem or not services or not all(service.whole for service in services):
        raise typer.Exit(FAILED)


def _ask_cluster(timeout_s: float) -> tuple[str, Future[list[ServiceStatus]] | None]:
    """Which cluster is asked for its services, in words, and its answer; None where there is no cluster."""
    from grm_plugin.serving.ray import launch

    address = os.environ.get("RAY_ADDRESS", "")
    if not address and not launch.cluster_is_here():
        return "", None

    def ask() -> list[ServiceStatus]:
        # It tells at every connection from a thread that it does not listen to signals there.
        logging.getLogger("ray._private.worker").setLevel(logging.ERROR)
        launch.connect(default="auto")
        from grm_plugin.serving.ray.status import services_on_ray

        return services_on_ray(timeout_s)

    which = f"the Ray cluster at {address}" if address else "the Ray cluster of this machine"
    return which, start_in_background(ask, "grm-status-ray")


def _none(cluster: str, problem: str) -> str:
    if problem:
        return "no service without Ray runs on this machine"
    if cluster:
        return f"no service runs on {cluster}, nor without Ray on this machine"
    return "no service runs on this machine, with Ray or without; for one on another machine, set RAY_ADDRESS"


def _shown(service: ServiceStatus) -> str:
    state = "ready" if service.ready else "not ready"
    lines = [f"{service.name}: {state}{f' at {service.url}' if service.url else ''} ({', '.join(_facts(service))})"]
    if service.problem:
        lines.append(f"  {service.problem}")
    if full := list(_fill(service)):
        lines.append(f"  {'; '.join(full)}")
    if service.replicas:
        lines += _table([COLUMNS, *map(_row, service.replicas)])
    return "\n".join(lines)


def _facts(service: ServiceStatus) -> Iterator[str]:
    yield f"{service.runs} on {service.node}" if service.node else service.runs
    if service.lifetime:
        yield f"lifetime {service.lifetime}"
    if service.owner:
        yield f"started by {service.owner}" if service.lifetime else service.owner


def _fill(service: ServiceStatus) -> Iterator[str]:
    if service.samples is not None:
        most = f" of at most {service.max_samples:,}" if service.max_samples is not None else ""
        yield f"samples waiting: {service.samples:,}{most}"
    if service.lists is not None:
        yield f"lists: {service.lists:,} with replicas, {service.lists_waiting or 0:,} waiting for one"


def _row(replica: ReplicaStatus) -> tuple[str, ...]:
    gpus = "?" if replica.gpus is None else ",".join(replica.gpus) or "none"
    return (
        replica.name,
        replica.state,
        replica.node or "?",
        gpus,
        _known(replica.lists),
        _known(replica.requests, f"/{replica.places}" if replica.places is not None else ""),
        "" if replica.kv_cache is None else f"{replica.kv_cache:.0%}",
        str(replica.restarts),
        str(replica.pid or "?"),
    )


def _known(number: int | None, behind: str = "") -> str:
    return "" if number is None else f"{number}{behind}"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows with aligned columns; columns of which nothing is known are left out."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]
