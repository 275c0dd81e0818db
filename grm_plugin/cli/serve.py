"""`grm-plugin serve` and `grm-plugin stop`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from grm_plugin.batch.lost_votes import unread_rule
from grm_plugin.cli.options import OVERRIDABLE, OVERRIDES, WITH_WORD, ConfigOrWord, example, load
from grm_plugin.config import Config, lone_response, name_of
from grm_plugin.config.packages import check_packages
from grm_plugin.errors import ConfigError, ServiceError
from grm_plugin.wire.token import read_token, url_with_token

app = typer.Typer()


@app.command(
    context_settings=OVERRIDABLE,
    options_metavar=WITH_WORD,
    epilog=example("serve preset:dry_run --grm.sampling.k 4", OVERRIDES),
)
def serve(
    context: typer.Context,
    config: ConfigOrWord = None,
    detach: Annotated[
        bool, typer.Option(help="Return when the service is ready and leave it running; `grm-plugin stop` ends it.")
    ] = False,
) -> None:
    """Start the reward service and keep it until Ctrl-C (with service.lifetime shared: until `grm-plugin stop`)."""
    from grm_plugin.serving.http.without_ray import runs_without_ray, serve_uvicorn

    loaded = load(config, context.args, context)
    without_ray = runs_without_ray(loaded)
    check_packages(loaded, on_ray=not without_ray)
    _warn_of_single_samples(loaded)
    _warn_of_unread_rule(loaded)
    if without_ray:
        if detach:
            raise ConfigError("--detach needs the service on Ray: engine.type openai and fake run in this process")
        serve_uvicorn(loaded, lambda url: _announce(url, loaded))
    else:
        _serve_on_ray(loaded, detach)


@app.command(epilog=example("stop --name grm"))
def stop(
    name: Annotated[str, typer.Option(help="Name of the service (service.name of its configuration).")] = "grm",
) -> None:
    """Stop a service: on the Ray cluster at RAY_ADDRESS; without that variable, on this machine, with Ray or not."""
    from grm_plugin.serving.ray import launch

    if launch.stop(name):
        typer.echo(f"{name} stopped")
        return
    cluster = os.environ.get("RAY_ADDRESS")
    looked = (
        f"on the Ray cluster at {cluster}, nor on this machine without Ray"
        if cluster
        else "on this machine, with Ray or without; for one on another machine, set RAY_ADDRESS"
    )
    typer.echo(f"there is no service named {name} {looked}")


def _serve_on_ray(config: Config, detach: bool) -> None:
    from grm_plugin.serving.ray import launch

    private = not os.environ.get("RAY_ADDRESS")  # a cluster that Ray starts for this process and that ends with it
    if detach and (private or config.service.lifetime != "shared"):
        raise ConfigError(
            "--detach needs a Ray cluster that stays and service.lifetime shared: run `ray start --head`, set "
            "RAY_ADDRESS to its address and add --grm.service.lifetime shared"
        )
    launch.connect()
    typer.echo(_loading(config), err=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the service as Ctrl-C does
    service = launch.start(config)
    _announce(service.url, config)
    if detach:
        return
    ours = private or config.service.lifetime == "job"
    try:
        service.wait()
    except KeyboardInterrupt:
        if ours:
            service.stop()
    except ServiceError as error:
        if ours:
            service.stop()
            raise ServiceError(f"{error}. What was left of the service is stopped: start it again") from None
        raise ServiceError(
            f"{error}. The service still answers at {service.url}, but no further job finds it: end it with "
            f"grm-plugin stop --name {service.name}, and start it again"
        ) from None


def _warn_of_unread_rule(config: Config) -> None:
    if problem := unread_rule(config):
        typer.echo(f"warning: no reward will be one of its own: {problem}", err=True)


def _loading(config: Config) -> str:
    """What happens until the service is ready, which takes minutes for a large model."""
    from grm_plugin.serving.ray.gpus import cluster_gpus, needed_gpus

    models = [name_of(model) for model in (config.engine, config.meta_rm) if model is not None]
    return (
        f"starting on Ray: loading {' and '.join(models)} on {sum(needed_gpus(config, cluster_gpus().total))} GPU(s) "
        f"(at most service.ready_timeout_s = {config.service.ready_timeout_s:g} s; logs on the cluster's nodes in "
        "/tmp/ray/session_latest/logs)"
    )


def _warn_of_single_samples(config: Config) -> None:
    problem = lone_response(config.normalize.method, config.group.n)
    if problem:
        typer.echo(
            f"warning: {problem}; group.n is {config.group.n}, so samples that come one by one are refused unless they "
            "say ?n=",
            err=True,
        )


def _announce(url: str, config: Config) -> None:
    """Say where the service is. The text is flushed, since scripts wait for it."""
    n = "N" if lone_response(config.normalize.method, config.group.n) else config.group.n
    typer.echo(f"GRM service at {url} (documentation: {url}/docs). For OpenRLHF, with n = its samples per prompt:")
    variable = config.service.token_env
    token = read_token(variable)
    address = url_with_token(url, variable) if token else url
    typer.echo(f'  --reward.remote_url "{address}/get_reward?n={n}"')
    if token:
        encoded = "" if token.fits_an_address else ", there percent-encoded (/ @ : are %2F %40 %3A)"
        typer.echo(
            f"It asks for the token in {variable}{encoded}; a browser, for any name and the token as password. Such an "
            "address stands in OpenRLHF's log: its agent and function hooks take GRM_TOKEN from the environment."
        )
    sys.stdout.flush()
